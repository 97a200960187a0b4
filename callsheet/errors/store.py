"""The store could not keep or give back what it should."""

from __future__ import annotations

from callsheet.errors.base import CallsheetError


class StoreError(CallsheetError):
    code = "store.failed"
    summary = "store {url}: {detail}"
    remedy = "check that the store is reachable and that its credentials are valid"
    retryable = True


class NotInStore(StoreError):
    code = "store.missing"
    summary = "{key} is not in {url}"
    remedy = "run again: what is missing is made anew"
    retryable = False


class StoreCorrupt(StoreError):
    code = "store.corrupt"
    summary = "{key} in {url} differs from its digest ({detail})"
    remedy = "remove that file and run again: it is made anew"
    retryable = False


class StoreDenied(StoreError):
    """Trying again with the same credentials cannot help."""

    code = "store.denied"
    summary = "store {url} refused the credentials ({detail})"
    remedy = "check the access key, its secret, this machine's clock and what the key may do in that bucket"
    retryable = False


class UploadFailed(StoreError):
    code = "store.upload"
    summary = "{key} could not be written to {url} ({detail})"
    remedy = "check the bucket's name, its PutObject permission and the network"
