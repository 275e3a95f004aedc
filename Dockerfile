# The service as a container image. The build stage has uv and the sources; the image itself has neither.
# What is installed is pinned by hash in .requirements, the images by digest; `uv run poe pins` moves both.

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS build

ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never

WORKDIR /build
COPY .requirements ./.requirements
RUN pip install --no-cache-dir --require-hashes -r .requirements/build.txt \
    && uv venv --python /usr/local/bin/python /opt/modelkeep \
    && uv pip install --python /opt/modelkeep --require-hashes -r .requirements/server.txt

COPY pyproject.toml README.md ./
COPY app ./app
RUN uv build --wheel --no-build-isolation --python /usr/local/bin/python --out-dir wheel \
    && uv pip install --python /opt/modelkeep --no-deps --no-index wheel/*.whl


FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

RUN groupadd --gid 10001 registry \
    && useradd --uid 10001 --gid registry --no-create-home --home-dir /data --shell /usr/sbin/nologin registry \
    && install --directory --owner=registry --group=registry --mode=0700 /data

COPY --from=build /opt/modelkeep /opt/modelkeep

ENV PATH=/opt/modelkeep/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODELKEEP_DATA_DIR=/data

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Graceful shutdown takes up to 25 seconds: send SIGKILL after 30.
STOPSIGNAL SIGTERM

# Liveness, not readiness: a restart does not repair a missing table. The proxy of the environment is bypassed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=4)"]

ENTRYPOINT ["modelkeep"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
