# stembox in a container.
#
#   docker build -t stembox .                                # for CPUs
#   docker build -t stembox:cuda --build-arg TORCH=cuda .    # for NVIDIA cards: run with --gpus all
#   docker run --stop-timeout 40 -p 8000:8000 -v stembox:/data stembox
#   docker exec CONTAINER stembox keys create --account me --minutes 60
#
# What was checked of it: its settings are settings, start a server and are enough for it; its health
# check tells a server that serves from one that does not; what it copies is there; what it installs
# is what the tests run with, from the same lock file (tests/deploy). Not checked: the build itself
# and the CUDA variant, for which no container engine and no card were at hand.

FROM python:3.11-slim-bookworm AS build
ARG TORCH=cpu
# torch's own index has builds for CPUs, a tenth of the size; the package index has those for cards.
RUN case "$TORCH" in \
      cpu) echo "--extra-index-url https://download.pytorch.org/whl/cpu" ;; \
      cuda) ;; \
      *) echo "TORCH is cpu or cuda, not $TORCH" >&2; exit 1 ;; \
    esac > /index.txt \
    && python -m venv /opt/stembox
COPY requirements.lock /
RUN /opt/stembox/bin/pip install --no-cache-dir $(cat /index.txt) --requirement /requirements.lock
COPY . /sources
RUN /opt/stembox/bin/pip install --no-cache-dir --no-deps --no-build-isolation /sources

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin stembox \
    && install --directory --owner stembox --group stembox --mode 0700 /data
COPY --from=build /opt/stembox /opt/stembox
ENV PATH=/opt/stembox/bin:$PATH \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    STEMBOX_SERVER__HOST=0.0.0.0 \
    STEMBOX_SERVER__DATA_DIR=/data \
    STEMBOX_PIPELINE__AUTH=api_key
USER stembox
WORKDIR /data
VOLUME /data
EXPOSE 8000
# The first start compiles its kernels.
HEALTHCHECK --interval=15s --timeout=5s --start-period=300s --retries=4 \
    CMD ["python", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/health/live', timeout=4)"]
# tini: the server starts its own processes anew; orphans of theirs are nobody's without it.
ENTRYPOINT ["tini", "--", "stembox"]
CMD ["serve"]
