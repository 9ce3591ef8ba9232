CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    item TEXT NOT NULL,
    cents INTEGER NOT NULL,
    placed TEXT NOT NULL
);
INSERT INTO orders VALUES (1, 'Test Customer 1', 'Desk lamp', 100, '2024-02-06 09:12:44');
INSERT INTO orders VALUES (2, 'Test Customer 2', 'Desk lamp', 100, '2024-02-06 09:13:10');
INSERT INTO orders VALUES (3, 'Test Customer 1', 'Bookend, pair', 100, '2024-05-21 15:40:02');
