#!/bin/sh
# The image's entrypoint.
#
#   start handler    serve an endpoint's queue
#   start pod        run one Prefect flow run, then delete this pod
#
# A container that exits is started again and paid for. So a pod whose own program fails, or that was given another
# word, is deleted from here, by curl: also when Python itself does not start.
set -u

gone() {
    code=$(printf 'Authorization: Bearer %s' "${RUNPOD_API_KEY:-}" | curl --silent --output /dev/null --max-time 20 \
        --header @- --write-out '%{http_code}' --request DELETE \
        "${CALLSHEET_RUNPOD_API:-https://api.runpod.io}/v2/pods/$RUNPOD_POD_ID")
    case "$code" in
        2??|404) return 0 ;;
        *) echo "start: this pod cannot be deleted yet ($code)" >&2; return 1 ;;
    esac
}

# A worker of an endpoint has a RUNPOD_POD_ID too, and is the endpoint's matter.
farewell() {
    [ -n "${RUNPOD_POD_ID:-}" ] && [ -z "${RUNPOD_ENDPOINT_ID:-}" ] || return 0
    until gone; do sleep "${CALLSHEET_FAREWELL_PAUSE_S:-15}"; done
}

case "${1:-}" in
    handler)
        exec python -m callsheet.runpod.handler
        ;;
    pod)
        trap '' TERM INT    # tini tells the whole group: python takes it, ends its run and deletes the pod
        python -m callsheet.runpod.entrypoint
        result=$?
        farewell
        exit "$result"
        ;;
    *)
        echo "start: '${1:-}' is neither handler nor pod: set it as args of the template or pod" >&2
        farewell
        exit 64
        ;;
esac
