# Prefect's server on PostgreSQL. Every address and credential comes from the environment.
# Build from the root:  docker build --file infra/docker/prefect.Dockerfile --tag towpath-prefect .
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
COPY infra/docker/packages.py infra/docker/packages/prefect.txt infra/locks/main.txt ./
RUN python packages.py pick prefect.txt main.txt > locked.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r locked.txt \
    && /venv/bin/pip check

FROM python:3.11.13-slim-bookworm
RUN useradd --uid 10001 --create-home towpath
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 \
    PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT=false PREFECT_SERVER_METRICS_ENABLED=true PREFECT_UI_API_URL=/api
WORKDIR /home/towpath
USER 10001
EXPOSE 4200
CMD ["prefect", "server", "start", "--host", "0.0.0.0", "--port", "4200"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=5 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:4200/api/health', timeout=2)"]
