"""Registers tenants, apps, workspaces and roles: what an administrator does in the portal."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .identity import public_pem, store_secret
from .objects import Workspace
from .times import stamp
from .world import World

TENANT_ID = "7e57ab1e-0000-4000-8000-000000000001"
CLIENT_ID = "7e57ab1e-0000-4000-8000-000000000002"
WORKSPACE_ID = "7e57ab1e-0000-4000-8000-000000000003"
SUBSCRIPTION_ID = "7e57ab1e-0000-4000-8000-000000000004"
RESOURCE_GROUP = "sandbox-rg"
WORKSPACE_NAME = "sandbox-ws"


@dataclass(frozen=True)
class App:
    """A registered app. `client_secret` is empty when only a certificate was given."""

    tenant_id: str
    client_id: str
    name: str
    client_secret: str

    def __repr__(self) -> str:
        """Without the secret, so that no log or failing test shows it."""
        return f"App({self.name!r}, client_id={self.client_id!r})"


class Directory:
    """Writes the stand-in's directory; every method may be called while it runs."""

    def __init__(self, world: World) -> None:
        self._world = world

    def seed(self, secret: str) -> None:
        """The default tenant, workspace and app, unless a kept state has them."""
        with self._world.store.transaction() as db:
            if db.execute("SELECT 1 FROM tenants WHERE tenant_id = ?", (TENANT_ID,)).fetchone():
                return
            self.add_tenant(TENANT_ID, "sandbox.onmicrosoft.com")
            self.add_workspace(
                WORKSPACE_NAME, TENANT_ID, workspace_id=WORKSPACE_ID, subscription_id=SUBSCRIPTION_ID,
                resource_group=RESOURCE_GROUP,
            )  # fmt: skip
            self.add_app("tipline", TENANT_ID, client_id=CLIENT_ID, secret=secret, workspaces=[WORKSPACE_ID])

    def add_tenant(self, tenant_id: str | None = None, name: str = "") -> str:
        """Register a tenant; its id."""
        chosen = tenant_id or str(uuid.uuid4())
        with self._world.store.transaction() as db:
            db.execute("INSERT INTO tenants VALUES (?, ?)", (chosen, name or f"{chosen}.onmicrosoft.com"))
        return chosen

    def add_workspace(
        self, name: str, tenant_id: str, *, workspace_id: str | None = None,
        subscription_id: str = SUBSCRIPTION_ID,
        resource_group: str = RESOURCE_GROUP,
    ) -> Workspace:  # fmt: skip
        """Register a Sentinel workspace."""
        place = Workspace(workspace_id or str(uuid.uuid4()), tenant_id, subscription_id, resource_group, name)
        with self._world.store.transaction() as db:
            db.execute(
                "INSERT INTO workspaces VALUES (?, ?, ?, ?, ?)",
                (place.workspace_id, tenant_id, subscription_id, resource_group, name),
            )
        return place

    def add_app(
        self, name: str, tenant_id: str, *, client_id: str | None = None, secret: str | None = None,
        secret_expires: datetime | None = None, certificate: str | bytes | None = None,
        federated: tuple[str, str, str | bytes] | None = None, roles: Iterable[str] = ("Ti.ReadWrite.All",),
        workspaces: Sequence[str] = (), enabled: bool = True, consented: bool = True,
        device_groups: Sequence[str] | None = None,
    ) -> App:  # fmt: skip
        """Register an app.

        Args:
            name: display name.
            tenant_id: its tenant.
            client_id: a GUID; made if not given.
            secret: made if neither it, a certificate nor a federated credential is given.
            secret_expires: end of the secret.
            certificate: PEM of a certificate or public key, for client assertions.
            federated: issuer, subject and public key PEM of a workload identity.
            roles: consented app roles: Ti.ReadWrite, Ti.ReadWrite.All, ThreatIndicators.ReadWrite.OwnedBy.
            workspaces: ids of the workspaces it is Microsoft Sentinel Contributor on.
            enabled: a disabled app cannot sign in.
            consented: without consent tokens carry no roles.
            device_groups: the groups it may touch in Defender; None = all.
        """
        client = client_id or str(uuid.uuid4())
        if secret is None and certificate is None and federated is None:
            secret = secrets.token_urlsafe(24)
        groups = None if device_groups is None else json.dumps(list(device_groups))
        with self._world.store.transaction() as db:
            db.execute(
                "INSERT INTO apps VALUES (?, ?, ?, ?, ?, ?, ?)",
                (tenant_id, client, name, json.dumps(list(roles)), int(enabled), int(consented), groups),
            )
            if secret:
                store_secret(db, tenant_id, client, secret, secret_expires)
            if certificate:
                db.execute(
                    "INSERT INTO keys VALUES (?, ?, ?, NULL, NULL)",
                    (tenant_id, client, public_pem(certificate)),
                )
            if federated:
                issuer, subject, key = federated
                db.execute(
                    "INSERT INTO keys VALUES (?, ?, ?, ?, ?)",
                    (tenant_id, client, public_pem(key), issuer, subject),
                )
            for each in workspaces:
                self.grant(client, each)
        return App(tenant_id, client, name, secret or "")

    def add_secret(self, client_id: str, secret: str, expires: datetime | None = None) -> None:
        """Register one more secret of an app."""
        with self._world.store.transaction() as db:
            row = db.execute("SELECT tenant_id FROM apps WHERE client_id = ?", (client_id,)).fetchone()
            store_secret(db, row["tenant_id"], client_id, secret, expires)

    def expire_secrets(self, client_id: str, at: datetime | None = None) -> None:
        """End every secret of an app, now or at a time."""
        end = stamp(at or self._world.now)
        with self._world.store.transaction() as db:
            db.execute("UPDATE secrets SET expires = ? WHERE client_id = ?", (end, client_id))

    def set_roles(self, client_id: str, roles: Iterable[str]) -> None:
        """Replace the app roles; tokens issued before keep theirs."""
        with self._world.store.transaction() as db:
            db.execute("UPDATE apps SET roles = ? WHERE client_id = ?", (json.dumps(list(roles)), client_id))

    def enable(self, client_id: str, *, enabled: bool) -> None:
        """Enable or disable an app."""
        with self._world.store.transaction() as db:
            db.execute("UPDATE apps SET enabled = ? WHERE client_id = ?", (int(enabled), client_id))

    def grant(self, client_id: str, workspace_id: str) -> None:
        """Microsoft Sentinel Contributor on a workspace; works after `rbac_delay_seconds`."""
        with self._world.store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO grants VALUES (?, ?, ?)",
                (workspace_id, client_id, stamp(self._world.now)),
            )

    def withdraw(self, client_id: str, workspace_id: str) -> None:
        """Take that role away."""
        with self._world.store.transaction() as db:
            db.execute("DELETE FROM grants WHERE workspace_id = ? AND client_id = ?", (workspace_id, client_id))
