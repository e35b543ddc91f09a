"""The iExec protocol: contracts, orders, wallets, the SMS and the formats; knows no engine and no enclave."""
