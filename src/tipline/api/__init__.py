"""HTTP: lists, health, metrics, and the operations that other commands of the same machine ask for."""
