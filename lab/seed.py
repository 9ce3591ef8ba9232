"""Touches a new lab's folder: fills the disks of the VMs, their tools, the packages and the first backup."""

from __future__ import annotations

import gzip
import io
import random
import shlex
import shutil
import sqlite3
import sys
import tarfile
import zipfile
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from lab.machines import Machine

HERE = Path(__file__).parent
SAMPLE = HERE / "sample"

LAYERS = {
    "staging-web": ("web", "crm"),
    "staging-db": ("db", "staging-db"),
    "staging-spare": ("crm",),
    "prod-web-1": ("web",),
    "prod-web-2": ("web",),
    "prod-db": ("db", "prod-db"),
    "qa-web": ("web",),
    "qa-db": ("db",),
    "crm-prod": ("crm",),
}
"""Every VM of the sample, and the folders of sample/disks that its disk begins as."""

ARCHIVES = {
    "webshop-2.4.0": ".zip",
    "webshop-2.4.1": ".tar.gz",
    "crm-1.0.0-rc.1": ".zip",
    "crm-1.0.0": ".zip",
    "crm-1.0.1": ".zip",
}

CUSTOMERS = (
    "Ana Duarte", "Bram de Wit", "Chiara Conti", "Daniel Okafor", "Elif Yıldız", "Femke Visser", "Giulia Ferri",
    "Hanna Lindqvist", "Ivo Novák", "Jonas Weber", "Katarzyna Zając", "Liam Byrne", "Marta Soler", "Nils Berg",
    "Olga Petrenko", "Pieter Maes", "Rosa Molina", "Sven Krüger", "Tomás Silva", "Ursula Frei",
)  # fmt: skip
ITEMS = (
    ("Desk lamp", 4900), ("Bookend, pair", 2250), ("Letter tray", 1890), ("Fountain pen", 7200), ("Ink, 50 ml", 1150),
    ("Notebook A5", 1290), ("Notebook A4", 1690), ("Pencil case", 2490), ("Wall calendar", 1500), ("Stapler", 2100),
)  # fmt: skip


def fill_disk(machine: Machine, now: datetime) -> None:
    """What a VM of the sample has on its disk before it was ever started."""
    disk, name = machine.disk, machine.name
    place = name.partition("-")[0]
    shutil.rmtree(disk)  # an earlier lab may have been stopped in the middle of this
    for layer in LAYERS[name]:
        copy_tree(SAMPLE / "disks" / layer, disk)
    (disk / "etc").mkdir()
    packages = (SAMPLE / "data" / "packages").read_text()
    # Staging runs another kernel than prod, as staging does.
    (disk / "etc" / "packages").write_text(
        packages.replace("6.1.119-1", "6.1.124-1") if place == "staging" else packages
    )
    if "web" in LAYERS[name]:
        (disk / "shop.env").write_text(f"SHOP_DB={place}-db:5432\n")
    if "db" in LAYERS[name]:
        make_orders(disk / "shop.db", place, now)


def make_orders(file: Path, place: str, now: datetime) -> None:
    """The orders of prod (some two hundred), of QA (a few, and the column that 2.4 needs) or of an old staging."""
    with closing(sqlite3.connect(file)) as database, database:
        schema = "old-orders.sql" if place == "staging" else "orders.sql"
        database.executescript((SAMPLE / "data" / schema).read_text())
        if place == "prod":
            rows = orders(204, CUSTOMERS, now)
        elif place == "qa":
            database.execute("alter table orders add column archived integer not null default 0")
            rows = orders(12, ("Test Customer 1", "Test Customer 2"), now)
        else:
            return
        database.executemany("INSERT INTO orders (customer, item, cents, placed, paid) VALUES (?, ?, ?, ?, ?)", rows)


def orders(count: int, customers: tuple[str, ...], now: datetime) -> list[tuple[str, str, int, str, int]]:
    """Plausible orders of the last ninety days, the same ones at each call but for their dates."""
    dice = random.Random(count)  # noqa: S311 - sample data
    ages = sorted((dice.uniform(0.1, 90) for _ in range(count)), reverse=True)
    rows = []
    for age in ages:
        item, cents = dice.choice(ITEMS)
        placed = f"{now - timedelta(days=age):%Y-%m-%d %H:%M:%S}"
        rows.append((dice.choice(customers), item, cents, placed, int(age > 2)))
    return rows


def make_backup(orders: Path, share: Path, now: datetime) -> None:
    """Last night's backup of prod's orders, as prod's own backup-now.sh would have made it at two o'clock."""
    share.mkdir(parents=True)
    night = now.replace(hour=2, minute=0, second=0) - timedelta(days=now.hour < 2)
    with (
        closing(sqlite3.connect(orders)) as source,
        closing(sqlite3.connect(share / f"orders-{night:%Y%m%dT%H%M%SZ}.db")) as target,
    ):
        source.backup(target)
        with target:
            target.execute("DELETE FROM orders WHERE placed > ?", (f"{night:%Y-%m-%d %H:%M:%S}",))


def install_tools(target: Path) -> None:
    """The commands of the hosts: shell scripts as they are, Python programs behind a line of shell."""
    shutil.rmtree(target, ignore_errors=True)
    copy_tree(HERE / "tools", target)
    (target / "lib").mkdir()
    python = shlex.quote(sys.executable)
    # -S leaves out what is installed beside the lab: a host has only Python's own library, and starts twice as fast.
    commands = {"python3": f"{python} -S"}
    for program in target.glob("*.py"):
        program.rename(target / "lib" / program.name)
        commands[program.stem] = f'{python} -I -S "${{0%/*}}/lib/{program.name}"'
    for name, command in commands.items():
        (target / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (target / name).chmod(0o755)


def pack(folder: Path, archive: Path) -> None:
    """The same folder gives the same bytes, as .zip or .tar.gz: names sorted, times and owners left out."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for name, data, mode in members(folder):
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o100000 | mode) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                target.writestr(info, data)
        return
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as target,
    ):
        for name, data, mode in members(folder):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            target.addfile(member, io.BytesIO(data))


def members(folder: Path) -> list[tuple[str, bytes, int]]:
    """The files of a folder, sorted: name, content, mode. Executable is what begins as a script does."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    contents = ((file.relative_to(folder).as_posix(), file.read_bytes()) for file in files)
    return [(name, data, 0o755 if data.startswith(b"#!") else 0o644) for name, data in contents]


def copy_tree(source: Path, target: Path) -> None:
    """Copies the files of `source` into `target`; an installed wheel may have lost their modes."""
    for name, data, mode in members(source):
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)
