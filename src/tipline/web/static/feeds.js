// Forms of feeds: what is typed where a secret goes is not shown, while a reference such as ${secret:NAME} is.
function veil(field) {
  field.type = field.value === "" || field.value.startsWith("$") ? "text" : "password";
}
function veilAll() {
  for (const field of document.querySelectorAll('.feed-form input[list="known-secrets"]')) veil(field);
}
document.addEventListener("input", (event) => {
  if (event.target.matches?.('.feed-form input[list="known-secrets"]')) veil(event.target);
});
document.addEventListener("htmx:afterSettle", veilAll);
veilAll();
