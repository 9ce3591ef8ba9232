CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    item TEXT NOT NULL,
    cents INTEGER NOT NULL,
    placed TEXT NOT NULL,
    paid INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX orders_by_day ON orders (placed);
