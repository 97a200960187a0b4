"""The local stage: a private database, the Prefect server and its workers, as processes of this machine."""
