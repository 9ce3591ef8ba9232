"""Touches one SQLite file as the `sqlite3` command does, for laptops that have none.

SQL and dot-commands come from arguments or stdin. Rows, messages and exit codes are those of SQLite's own command
3.40; options and dot-commands are the ones that deployments use.
"""

import sqlite3
import sys
from collections.abc import Iterator


class Complaint(Exception):
    """What the command says on stderr, and the code that it exits with."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Shell:
    """One open database; `header` prints column names above rows, `separator` stands between columns."""

    def __init__(self, file: str, *, read_only: bool, header: bool, separator: str) -> None:
        escaped = file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        try:
            self.database = sqlite3.connect(
                f"file:{escaped}?mode={'ro' if read_only else 'rwc'}", uri=True, timeout=0, isolation_level=None
            )
        except sqlite3.Error as error:
            raise Complaint(f'Error: unable to open database "{file}": {error}') from None
        self.header = header
        self.separator = separator

    def run(self, text: str) -> None:
        """Does one argument of the command line: a dot-command, or SQL statements up to the first bad one."""
        if text.startswith("."):
            self.command(text)
            return
        for statement in statements(text):
            try:
                self.query(statement)
            except sqlite3.Error as error:
                code = error.sqlite_errorcode & 0xFF
                where = f"in prepare, {error}" if code == sqlite3.SQLITE_ERROR else f"stepping, {error} ({code})"
                raise Complaint(f"Error: {where}", code) from None

    def query(self, statement: str) -> None:
        """Prints the rows of one statement."""
        cursor = self.database.execute(statement)
        if self.header and cursor.description:
            self.row([column[0] for column in cursor.description])
        for values in cursor:
            self.row([shown(value) for value in values])

    def row(self, values: list[str]) -> None:
        """Prints one line."""
        sys.stdout.write(self.separator.join(values) + "\n")

    def command(self, text: str) -> None:
        """Does one dot-command. Raises Complaint for an unknown one."""
        name, *arguments = text.split()
        match name, arguments:
            case ".schema", [] | [_]:
                self.schema(*arguments)
            case ".tables", []:
                self.tables()
            case ".dump", []:
                self.row(["PRAGMA foreign_keys=OFF;"])
                for line in self.database.iterdump():
                    self.row([line])
            case ".backup", [file] | ["main", file]:
                self.backup(file.strip("'\""))
            case ".timeout", [milliseconds] if milliseconds.isdecimal():
                self.database.execute(f"PRAGMA busy_timeout = {milliseconds}")
            case ((".headers" | ".header"), ["on" | "off" as switch]):
                self.header = switch == "on"
            case _:
                raise Complaint(f'Error: unknown command or invalid arguments:  "{name[1:]}". Enter ".help" for help')

    def schema(self, table: str = "%") -> None:
        """Prints the CREATE statements, in the order in which they were made."""
        try:
            for (sql,) in self.database.execute(
                "SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND tbl_name LIKE ? ORDER BY rowid", (table,)
            ):
                self.row([f"{sql};"])
        except sqlite3.Error as error:
            raise Complaint(f"Error: {error}") from None

    def tables(self) -> None:
        """Prints the names of tables and views, in columns as wide as the longest."""
        names = [
            name
            for (name,) in self.database.execute(
                "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1"
            )
        ]
        width = max(map(len, names), default=0)
        across = max(1, 80 // (width + 2))
        down = -(-len(names) // across)
        for at in range(down):
            self.row(["  ".join(name.ljust(width) for name in names[at::down])])

    def backup(self, file: str) -> None:
        """Copies the whole database, consistently, while others use it."""
        try:
            target = sqlite3.connect(file)
        except sqlite3.Error:
            raise Complaint(f'Error: cannot open "{file}"') from None
        with target:
            self.database.backup(target)
        target.close()


def shown(value: object) -> str:
    """A value as it stands in a row: NULL is empty, a real number always has a point."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        text = f"{value:.15g}"
        mantissa, *exponent = text.split("e")
        return text if "." in text or "n" in text else "e".join([f"{mantissa}.0", *exponent])
    return str(value)


def statements(text: str) -> Iterator[str]:
    """The statements of `text`, each with its semicolon; one inside a string or a trigger separates nothing."""
    start = 0
    for at, character in enumerate(text):
        if character == ";" and sqlite3.complete_statement(text[start : at + 1]):
            yield text[start : at + 1]
            start = at + 1
    if text[start:].strip():
        yield text[start:]


def from_stdin(shell: Shell, *, bail: bool) -> int:
    """Does what stdin says; a bad statement is said, and without `bail` the others still run. Returns the exit code."""
    code, pending, first = 0, "", 0
    for number, line in enumerate(sys.stdin, 1):
        if not pending and not line.strip():
            continue
        first = first if pending else number
        pending += line
        if not line.startswith(".") and not sqlite3.complete_statement(pending):
            continue
        try:
            if line.startswith("."):
                shell.command(line)
            else:
                for statement in statements(pending):
                    shell.query(statement)
        except Complaint as complaint:
            print(complaint, file=sys.stderr)
            code = 1
        except sqlite3.Error as error:
            kind = error.sqlite_errorcode & 0xFF
            if kind == sqlite3.SQLITE_ERROR:
                print(f"Parse error near line {first}: {error}", file=sys.stderr)
            else:
                print(f"Runtime error near line {first}: {error} ({kind})", file=sys.stderr)
            code = 1
        pending = ""
        if code and bail:
            return code
    if pending.strip():
        shell.run(pending)
    return code


def main(arguments: list[str]) -> int:
    """Reads the command line and does it. Returns the exit code."""
    read_only = header = bail = False
    separator = "|"
    before: list[str] = []
    while arguments and arguments[0].startswith("-"):
        word = arguments.pop(0)
        match word.replace("--", "-", 1):
            case "-batch" | "-list" | "-noheader":
                pass
            case "-bail":
                bail = True
            case "-readonly":
                read_only = True
            case "-header":
                header = True
            case "-separator" if arguments:
                separator = arguments.pop(0)
            case "-cmd" if arguments:
                before.append(arguments.pop(0))
            case _:
                raise Complaint(f"sqlite3: Error: unknown option: {word}\nUse -help for a list of options.")
    file, *texts = arguments or [":memory:"]
    shell = Shell(file, read_only=read_only, header=header, separator=separator)
    for text in before + texts:
        shell.run(text)
    return 0 if texts else from_stdin(shell, bail=bail)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except Complaint as complaint:
        sys.stdout.flush()
        print(complaint, file=sys.stderr)
        code = complaint.code
    raise SystemExit(code)
