"""The web shop: orders as JSON over HTTP. It keeps nothing itself; SHOP_DB is the host:port that keeps the orders."""

import json
import os
import sys
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "VERSION")) as file:
    VERSION = file.read().strip()


class Unavailable(Exception):
    """The database does not answer."""


class Refused(Exception):
    """The database answers, but not to this."""


def query(sql, *args):
    """The rows of one statement, as dictionaries."""
    connection = HTTPConnection(os.environ["SHOP_DB"], timeout=3)
    try:
        body = json.dumps({"sql": sql, "args": args})
        connection.request("POST", "/query", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"the database at {os.environ['SHOP_DB']} does not answer: {error}") from None
    finally:
        connection.close()
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["rows"]


class Shop(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        self.respond({"/health": self.health, "/version": self.version, "/orders": self.orders})

    def do_POST(self):
        self.respond({"/orders": self.buy})

    def respond(self, pages):
        page = pages.get(self.path)
        try:
            status, body = page() if page else (404, {"error": f"there is no {self.path}"})
        except Unavailable as error:
            status, body = 503, {"error": str(error)}
        except Refused as error:
            status, body = 500, {"error": f"the database refused: {error}"}
        except (ValueError, KeyError) as error:
            status, body = 400, {"error": f"not an order: {error}"}
        text = body if isinstance(body, str) else json.dumps(body)
        data = text.encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def health(self):
        query("SELECT count(*) FROM orders")
        return 200, f"ok {VERSION}"

    def version(self):
        return 200, VERSION

    def orders(self):
        return 200, query("SELECT id, customer, item, cents, placed, paid FROM orders ORDER BY id")

    def buy(self):
        order = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        rows = query(
            "INSERT INTO orders (customer, item, cents, placed) VALUES (?, ?, ?, datetime('now')) RETURNING *",
            order["customer"],
            order["item"],
            order["cents"],
        )
        return 201, rows[0]


class Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    host, _, port = os.environ["SHOP_LISTEN"].rpartition(":")
    with Server((host, int(port)), Shop) as server:
        print(f"shop {VERSION} listens on {host}:{port}", file=sys.stderr, flush=True)
        server.serve_forever()
