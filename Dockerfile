# The images of inphase, one target each:
#   api          the web service, networks on the CPU          no torch
#   api-gpu      the same, networks on an NVIDIA GPU           no torch
#   worker       refinement on the CPU
#   worker-gpu   refinement on an NVIDIA GPU
#
#   docker build --target api --tag inphase-api .
#
# What pip installs is pinned in deploy/locks (`make locks` renews the pins). PIP_* build arguments reach pip: behind a mirror
# --build-arg PIP_INDEX_URL=..., and for a worker without CUDA (2.5 GB less to fetch) --build-arg PIP_EXTRA_INDEX_URL=<torch's CPU wheels>.

# Pinned by tag; to pin the very bytes, append @sha256:<digest> (docker buildx imagetools inspect tells it).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/inphase/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# ---- the project as one wheel, the same for every image
FROM base AS wheel
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY deploy/locks/build.txt /locks/
RUN pip install --no-cache-dir --target /build -r /locks/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY inphase inphase
COPY service service
COPY training training
RUN PYTHONPATH=/build pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# ---- what the images depend on: layers that change only with a lock
FROM base AS dependencies
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# without pip: the base image's installs into it
RUN python -m venv --without-pip /opt/inphase

FROM dependencies AS dependencies-api
COPY deploy/locks/api.txt /locks/
RUN pip --python /opt/inphase/bin/python install --no-cache-dir -r /locks/api.txt

FROM dependencies AS dependencies-api-gpu
COPY deploy/locks/api-gpu.txt /locks/
RUN pip --python /opt/inphase/bin/python install --no-cache-dir -r /locks/api-gpu.txt

FROM dependencies AS dependencies-worker
COPY deploy/locks/worker.txt /locks/
RUN pip --python /opt/inphase/bin/python install --no-cache-dir -r /locks/worker.txt

FROM dependencies AS dependencies-worker-gpu
COPY deploy/locks/worker-gpu.txt /locks/
RUN pip --python /opt/inphase/bin/python install --no-cache-dir -r /locks/worker-gpu.txt

# ---- what all images share
FROM base AS runtime
# Redis and the store come from outside; compiled kernels and temporary files go to /tmp, the one other place to write.
ENV HOME=/tmp \
    INPHASE_STATE_DIR=/var/lib/inphase \
    NUMBA_CACHE_DIR=/tmp/numba
RUN groupadd --gid 10001 inphase \
    && useradd --uid 10001 --gid inphase --no-create-home --home-dir /tmp --shell /usr/sbin/nologin inphase \
    && install --directory --owner=inphase --group=inphase --mode=0700 /var/lib/inphase \
    && install --directory /data
USER 10001:10001
WORKDIR /tmp
STOPSIGNAL SIGTERM
ENTRYPOINT ["inphase"]

FROM runtime AS runtime-api
ENV INPHASE_HOST=0.0.0.0 \
    INPHASE_PORT=8000 \
    INPHASE_WORKERS=0 \
    INPHASE_MODELS_DIR=/opt/models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"INPHASE_PORT\"]}/readyz', timeout=3)"]
CMD ["serve"]

FROM runtime AS runtime-worker
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["inphase", "workers", "--here"]
CMD ["worker"]

# ---- the images
FROM runtime-api AS api
COPY --from=dependencies-api /opt/inphase /opt/inphase
COPY models /opt/models
USER 0:0
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/inphase/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl
USER 10001:10001

FROM runtime-api AS api-gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=dependencies-api-gpu /opt/inphase /opt/inphase
COPY models /opt/models
USER 0:0
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/inphase/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl
USER 10001:10001

FROM runtime-worker AS worker
COPY --from=dependencies-worker /opt/inphase /opt/inphase
USER 0:0
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/inphase/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl
USER 10001:10001

FROM runtime-worker AS worker-gpu
ENV INPHASE_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=dependencies-worker-gpu /opt/inphase /opt/inphase
USER 0:0
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/inphase/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl
USER 10001:10001
