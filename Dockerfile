# Built on Debian with glibc: daily-python has no build for musl, and cannot be built from source.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /venv
COPY requirements.txt /src/
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement /src/requirements.txt
COPY pyproject.toml /src/
COPY app /src/app
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src

# Of the base the SDK needs libstdc++, libgcc_s and the certificates that it trusts.
FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home bridge \
    && install --directory --owner bridge --mode 700 /data
COPY --from=build /venv /venv
# The service refuses to start open to a network without BRIDGE_API_KEYS, and in room `daily`
# without TAVUS_API_KEY.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_ROOM=daily \
    BRIDGE_HOST=0.0.0.0 \
    BRIDGE_PORT=8080 \
    BRIDGE_DATA_DIR=/data
WORKDIR /data
USER 10001
VOLUME /data
EXPOSE 8080
# The service drains at SIGTERM, also as process 1, and waits for every child that it starts.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['BRIDGE_PORT'] + '/healthz', timeout=2)"]
CMD ["avatar-bridge", "serve"]
