"""How the flows get onto a Prefect server: pools, limits, deployments, automations."""
