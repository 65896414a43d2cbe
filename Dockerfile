# Training on NVIDIA GPUs: docker build -t resnest-gpu . (docs/clusters.md says how it is run)
# CUDA's compiler is needed to build Horovod with NCCL, and not afterwards. The Python of both stages is 3.10.
FROM nvidia/cuda:11.8.0-devel-ubuntu22.04 AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ make python3 python3-venv
WORKDIR /src
COPY . .
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/build && /opt/build/bin/pip install pip setuptools wheel
RUN /opt/build/bin/pip install --no-build-isolation '.[cu112]'
RUN HOROVOD_CUDA_HOME=/usr/local/cuda /opt/build/bin/python -m resnest.building --wheel-dir /wheels

FROM python:3.10-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 libquadmath0 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=build /wheels /wheels
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1
RUN pip install pip setuptools wheel && pip install --no-build-isolation '.[cu112,demo,detection]' /wheels/horovod-*.whl
ENV PIP_CONSTRAINT=
WORKDIR /work
ENTRYPOINT ["resnest"]
