FROM python:3.11-slim AS build
RUN python -m venv /venv
COPY requirements.txt /src/
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement /src/requirements.txt
COPY pyproject.toml /src/
COPY app /src/app
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src

FROM python:3.11-slim
RUN useradd --system --uid 10001 bridge && install --directory --owner bridge /data
COPY --from=build /venv /venv
# The service refuses to start open to a network without BRIDGE_API_KEYS, and in room `daily`
# without TAVUS_API_KEY.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BRIDGE_ROOM=daily \
    BRIDGE_HOST=0.0.0.0 \
    BRIDGE_PORT=8080 \
    BRIDGE_DATA_DIR=/data
WORKDIR /data
USER bridge
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['BRIDGE_PORT'] + '/healthz', timeout=2)"]
CMD ["avatar-bridge", "serve"]
