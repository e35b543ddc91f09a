"""iExec's market: published orders, found by whoever may use them."""
