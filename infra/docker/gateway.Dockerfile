# The gateway alone: it answers requests from a router snapshot and a store, and knows no MLflow, Prefect or ledger.
# Serves ONNX products; TensorFlow's SavedModels need what pipeline.Dockerfile installs.
# Build from the root:  docker build --file infra/docker/gateway.Dockerfile --tag towpath-gateway .
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
COPY infra/docker/packages.py infra/docker/packages/gateway.txt infra/locks/main.txt ./
RUN python packages.py pick gateway.txt main.txt > locked.txt \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r locked.txt \
    && /venv/bin/pip check

FROM python:3.11.13-slim-bookworm
# the number is that of the other images: they share a volume
RUN useradd --uid 10001 --create-home towpath \
    && install --directory --owner towpath --group towpath /towpath/.towpath
COPY --from=build /venv /venv
COPY components /towpath/components
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /towpath
USER 10001
EXPOSE 8082
# It listens on all of the container's addresses, and therefore refuses to start without TOWPATH_GATEWAY_TOKEN.
ENTRYPOINT ["python", "-m", "components.serving", "--host", "0.0.0.0"]
CMD ["--snapshot", ".towpath/environments/production/gateway/router.json", "--state-dir", ".towpath/environments/production/board", "--log-dir", ".towpath/environments/production/log", "--workers", "2", "--port", "8082"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8082/v2/health/live', timeout=2)"]
