"""The GPU provider, and the money it is paid with."""

from __future__ import annotations

from callsheet.errors.base import CallsheetError


class ProviderError(CallsheetError):
    code = "provider.failed"
    summary = "{provider} answered {detail}"
    remedy = "try again later; check the account's quota"
    retryable = True


class ProviderUnreached(ProviderError):
    """Not a byte of the request arrived: nothing was begun, nothing is paid."""

    code = "provider.unreached"
    summary = "nothing answers for {provider} at {address} ({detail})"
    remedy = "check the network and the address; an emulator has to be running (`callsheet emulate`)"


class ProviderBusy(ProviderError):
    """429. `retry_after_s` is what it asked for, where it did."""

    code = "provider.busy"
    summary = "{provider} asks for patience ({detail})"
    remedy = "wait a minute, or ask for less at a time"


class AnswerUnknown(ProviderError):
    """A request that may or may not have been carried out: look before asking again."""

    code = "provider.answer_unknown"
    summary = "{provider} took a request and its answer was lost ({detail})"
    remedy = "run again: what was begun is looked for before anything is paid again"


class ProviderDenied(ProviderError):
    code = "provider.denied"
    summary = "{provider} refused the key ({detail})"
    remedy = "check RUNPOD_API_KEY and what it may do"
    retryable = False


class ProviderUnpaid(ProviderError):
    code = "provider.unpaid"
    summary = "{provider} wants money first ({detail})"
    remedy = "add credit to the account, then run again: finished work is kept"
    retryable = False


class ProviderRefused(ProviderError):
    """400, 404, 409 or 422: the same request gets the same answer."""

    code = "provider.refused"
    summary = "{provider} refused the request ({detail})"
    remedy = "check what it names: image, volume, data centre, endpoint"
    retryable = False


class NoCapacity(ProviderError):
    code = "provider.no_capacity"
    summary = "no GPU is free at {provider} ({detail})"
    remedy = "run again later, or allow more cards with CALLSHEET_RUNPOD_GPUS and more data centres"


class QueueStuck(ProviderError):
    """A job that waits and will not be taken; `detail` says why. It was cancelled."""

    code = "provider.queue_stuck"
    summary = "the queue of endpoint {endpoint} does not move: {detail}"
    remedy = "see the endpoint's workers in the console of RunPod"
    retryable = False


class JobFailed(ProviderError):
    """The job's own code failed. Its error, where it gave one, is among the facts as `job_code`."""

    code = "provider.job_failed"
    summary = "job {job_id} failed: {detail}"
    remedy = "see the job's log in the console of RunPod, then run again"
    retryable = False


class JobTimedOut(ProviderError):
    """Whoever pays for a job tries it again where that can help; so nobody above does."""

    code = "provider.timed_out"
    summary = "job {job_id} was stopped after its {seconds:g} s ({detail})"
    remedy = "run again; if it happens twice, choose a smaller tier or a faster card"
    retryable = False


class JobLost(ProviderError):
    """The provider knows nothing of it any more, and its result is not in the store. Tried again as a time-out is."""

    code = "provider.lost"
    summary = "job {job_id} is gone ({detail})"
    remedy = "run again: it is looked for in the store before it is paid again"
    retryable = False


class NoImages(ProviderError):
    code = "provider.no_images"
    summary = "No images in RunPod output ({detail})"
    remedy = "verify the workflow's parameters and that its LoRAs exist on the endpoint"
    retryable = False


_RAISED_BY = {
    "batch": "--budget or CALLSHEET_BUDGET_BATCH", "day": "CALLSHEET_BUDGET_DAY",
    "order": "the manifest's column budget, or CALLSHEET_BUDGET_ORDER",
}


class BudgetExceeded(CallsheetError):
    """Nothing was submitted: what was made stays, and a larger budget goes on from there."""

    code = "budget.exceeded"
    summary = (
        "the budget of {scope} is ${hard:.2f}: ${spent:.2f} is spent or promised, and {what} could cost ${worst:.2f}"
    )
    remedy = "raise it ({how}) and run again: finished work is kept and not paid again"

    @property
    def fix(self) -> str:
        kind = str(self.facts.get("scope", "")).partition("/")[0]
        return self.remedy.format(how=_RAISED_BY.get(kind, "whoever set it knows where"))
