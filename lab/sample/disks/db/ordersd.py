"""A small database server: SQL over HTTP, on the SQLite file ORDERS_DB.

POST /query takes {"sql", "args"} and answers {"rows"} or {"error"}; GET /health says whether the file can be read.
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer


def query(sql, args=()):
    """The rows of one statement, as dictionaries; what it changed is on disk when this returns."""
    database = sqlite3.connect(f"file:{os.environ['ORDERS_DB']}?mode=rw", uri=True, timeout=5)
    # Whoever reaches this port may use this database, and no other file.
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    try:
        with database:
            cursor = database.execute(sql, args)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor]
    finally:
        database.close()


class Orders(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        if self.path == "/health":
            self.answer("SELECT count(*) AS tables FROM sqlite_schema")
        else:
            self.send_error(404)

    def do_POST(self):
        # A web page in somebody's browser cannot send this type to a foreign address unasked.
        if self.path != "/query" or self.headers.get("Content-Type") != "application/json":
            self.send_error(404)
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(asked["sql"], asked["args"])

    def answer(self, sql, args=()):
        try:
            status, body = 200, {"rows": query(sql, args)}
        except sqlite3.Error as error:
            status, body = 400, {"error": str(error)}
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    host, _, port = os.environ["ORDERS_LISTEN"].rpartition(":")
    with Server((host, int(port)), Orders) as server:
        print(f"ordersd listens on {host}:{port}", file=sys.stderr, flush=True)
        server.serve_forever()
