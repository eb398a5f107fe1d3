# The project with its whole locked environment: worker, watchdog, every `towpath` command. Holds .git, because a
# scheduled run works in a clean checkout of a commit; and no data, no state, no credentials (see the .dockerignore).
# Build from the root:  docker build --file infra/docker/pipeline.Dockerfile --tag towpath-pipeline .
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /towpath
COPY . .
RUN infra/setup

FROM python:3.11.13-slim-bookworm
# git has no version of its own here: Debian keeps only the newest of a release
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home towpath
COPY --from=build --chown=10001:10001 /towpath /towpath
RUN install --directory --owner towpath --group towpath /towpath/.towpath
ENV PATH=/towpath/.venv/bin:$PATH PYTHONUNBUFFERED=1 TOWPATH_ROOT=/towpath \
    PREFECT_WORKER_WEBSERVER_HOST=127.0.0.1 PREFECT_WORKER_WEBSERVER_PORT=8080 \
    DVC_NO_ANALYTICS=true GX_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
WORKDIR /towpath
USER 10001
CMD ["prefect", "--no-prompt", "worker", "start", "--pool", "towpath", "--type", "process", "--install-policy", "never", "--with-healthcheck"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=3)"]
