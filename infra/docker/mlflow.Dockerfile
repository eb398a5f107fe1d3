# MLflow's server on PostgreSQL and S3. Every address and credential comes from the environment.
# Build from the root:  docker build --file infra/docker/mlflow.Dockerfile --tag towpath-mlflow .
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
COPY infra/docker/packages.py infra/docker/packages/mlflow.txt infra/locks/main.txt ./
RUN python packages.py pick mlflow.txt main.txt > locked.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r locked.txt \
    && /venv/bin/pip check

FROM python:3.11.13-slim-bookworm
RUN useradd --uid 10001 --create-home towpath
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
WORKDIR /home/towpath
USER 10001
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "2", "--serve-artifacts"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=5 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/health', timeout=2)"]
