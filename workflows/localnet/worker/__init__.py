"""Scheduler, workerpool and worker of the localnet in one: takes deals off the chain and runs their tasks."""
