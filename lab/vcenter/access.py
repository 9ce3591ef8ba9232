"""Touches who is logged in, and decides what they may do."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pyVmomi import vim, vmodl

from lab.vcenter import places
from lab.vcenter.collector import PropertyCollector
from lab.vcenter.managed import CALLER, Call, Managed, Session, State, now
from lab.vcenter.services import COLLECTOR

IDLE = timedelta(minutes=30)

_ADMIN_ROLE = -1
# What there is to grant on a VM, its network and its storage, as far as anything here or in a guest may need it.
PRIVILEGES = (
    "Datastore.AllocateSpace",
    "Datastore.Browse",
    "Network.Assign",
    "Resource.AssignVMToPool",
    "Sessions.TerminateSession",
    "Sessions.ValidateSession",
    "System.Anonymous",
    "System.Read",
    "System.View",
    "VirtualMachine.Config.Annotation",
    "VirtualMachine.Config.EditDevice",
    "VirtualMachine.Config.Rename",
    "VirtualMachine.Config.Settings",
    "VirtualMachine.GuestOperations.Execute",
    "VirtualMachine.GuestOperations.Modify",
    "VirtualMachine.GuestOperations.Query",
    "VirtualMachine.Interact.AnswerQuestion",
    "VirtualMachine.Interact.ConsoleInteract",
    "VirtualMachine.Interact.DeviceConnection",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.Reset",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Provisioning.Clone",
    "VirtualMachine.State.CreateSnapshot",
    "VirtualMachine.State.RemoveSnapshot",
    "VirtualMachine.State.RenameSnapshot",
    "VirtualMachine.State.RevertToSnapshot",
)

# What methods ask for that name no privilege of their own, because they look for it inside.
INSIDE = {
    "CloneVM_Task": "VirtualMachine.Provisioning.Clone",
    "Destroy_Task": "VirtualMachine.Inventory.Delete",
    "Rename_Task": "VirtualMachine.Config.Rename",
    "StartProgramInGuest": "VirtualMachine.GuestOperations.Execute",
    "TerminateProcessInGuest": "VirtualMachine.GuestOperations.Execute",
    "ListProcessesInGuest": "VirtualMachine.GuestOperations.Query",
    "ReadEnvironmentVariableInGuest": "VirtualMachine.GuestOperations.Query",
    "ListFilesInGuest": "VirtualMachine.GuestOperations.Query",
    "InitiateFileTransferFromGuest": "VirtualMachine.GuestOperations.Query",
    "ValidateCredentialsInGuest": "VirtualMachine.GuestOperations.Query",
    "InitiateFileTransferToGuest": "VirtualMachine.GuestOperations.Modify",
    "MakeDirectoryInGuest": "VirtualMachine.GuestOperations.Modify",
    "MoveFileInGuest": "VirtualMachine.GuestOperations.Modify",
    "MoveDirectoryInGuest": "VirtualMachine.GuestOperations.Modify",
    "DeleteFileInGuest": "VirtualMachine.GuestOperations.Modify",
    "DeleteDirectoryInGuest": "VirtualMachine.GuestOperations.Modify",
    "CreateTemporaryFileInGuest": "VirtualMachine.GuestOperations.Modify",
    "CreateTemporaryDirectoryInGuest": "VirtualMachine.GuestOperations.Modify",
    "ChangeFileAttributesInGuest": "VirtualMachine.GuestOperations.Modify",
}


class SessionManager(Managed):
    """Logins; `users` are names and passwords."""

    kind = vim.SessionManager

    def __init__(self, state: State, moid: str, users: Mapping[str, str]) -> None:
        super().__init__(state, moid)
        self._users = users

    def alive(self, key: str | None) -> Session | None:
        """The session of that key, which its use keeps alive; None where it has ended or idled too long."""
        session = self.state.sessions.get(key or "")
        if session and now() - session.last_active > IDLE:
            self.end(session.key)
            return None
        if session:
            session.last_active = now()
        return session

    def end(self, key: str) -> None:
        """Ends a session with all that belongs to it; who waits in it is told."""
        self.state.sessions.pop(key, None)
        self.state.changes.touch()

    @property
    def defaultLocale(self) -> str:
        return "en"

    @property
    def sessionList(self) -> list[Any]:
        return [_described(session) for session in self.state.sessions.values()]

    @property
    def currentSession(self) -> Any:
        session = CALLER.get()
        return _described(session) if session else None

    def Login(self, call: Call, userName: str, password: str, locale: str | None) -> Any:
        right = hmac.compare_digest(password.encode(), self._users.get(userName, "").encode())
        if call.session or userName not in self._users or not right:
            raise vim.fault.InvalidLogin(msg="Cannot complete login due to an incorrect user name or password.")
        call.session = Session(secrets.token_hex(20), userName, now(), now())
        call.session.objects[COLLECTOR._moId] = PropertyCollector(self.state, COLLECTOR._moId)
        self.state.sessions[call.session.key] = call.session
        return _described(call.session)

    def Logout(self, call: Call) -> None:
        self.end(call.owner.key)

    def SessionIsActive(self, call: Call, sessionID: str, userName: str) -> bool:
        session = self.state.sessions.get(sessionID)
        return session is not None and session.user == userName

    def TerminateSession(self, call: Call, sessionId: list[str]) -> None:
        if call.owner.key in sessionId:
            raise vmodl.fault.InvalidArgument(msg="a session cannot terminate itself", invalidProperty="sessionId")
        for key in sessionId:
            if key not in self.state.sessions:
                raise vim.fault.NotFound(msg=f"no session {key}")
            self.end(key)


class AuthorizationManager(Managed):
    """One role, the administrator's, less the privileges that the state denies."""

    kind = vim.AuthorizationManager

    @property
    def roleList(self) -> list[Any]:
        return [
            vim.AuthorizationManager.Role(
                roleId=_ADMIN_ROLE,
                system=True,
                name="Admin",
                info=vim.Description(label="Administrator", summary="Full access rights"),
                privilege=self._granted(),
            )
        ]

    def RetrieveRolePermissions(self, call: Call, roleId: int) -> list[Any]:
        if roleId != _ADMIN_ROLE:
            raise vim.fault.NotFound(msg=f"no role {roleId}")
        return [
            vim.AuthorizationManager.Permission(
                entity=places.ROOT, principal=call.owner.user, group=False, roleId=roleId, propagate=True
            )
        ]

    def HasPrivilegeOnEntities(self, call: Call, entity: list[Any], sessionId: str, privId: list[str]) -> list[Any]:
        granted = set(self._granted())
        for one in entity:
            call.find(one)
        return [
            vim.AuthorizationManager.EntityPrivilege(
                entity=one,
                privAvailability=[
                    vim.AuthorizationManager.PrivilegeAvailability(privId=name, isGranted=name in granted)
                    for name in privId
                ],
            )
            for one in entity
        ]

    def FetchUserPrivilegeOnEntities(self, call: Call, entities: list[Any], userName: str) -> list[Any]:
        for one in entities:
            call.find(one)
        granted = self._granted() if userName == call.owner.user else []
        return [vim.AuthorizationManager.UserPrivilegeResult(entity=one, privileges=granted) for one in entities]

    def _granted(self) -> list[str]:
        return [name for name in PRIVILEGES if name not in self.state.denied]


def _described(session: Session) -> Any:
    return vim.UserSession(
        key=session.key,
        userName=session.user,
        fullName=session.user,
        loginTime=session.begun,
        lastActiveTime=session.last_active,
        locale="en",
        messageLocale="en",
        extensionSession=False,
        ipAddress="127.0.0.1",
        userAgent="",
        callCount=0,
    )
