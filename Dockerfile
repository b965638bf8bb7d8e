# Bessemer with Ray: one image for the head and the workers, so that all have the same code and the same Python.
#
#   docker build -t registry.example.org/bessemer:0.1.0 .
FROM python:3.12-slim-bookworm

# git holds workspaces; bubblewrap is the sandbox; wget is what KubeRay's probes call; procps is for people.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap git procps tini wget \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 ray \
    && mkdir /srv/bessemer \
    && chown ray:ray /srv/bessemer

WORKDIR /opt/bessemer
COPY pyproject.toml README.md CHANGELOG.md LICENSE NOTICE ./
COPY cluster ./cluster
COPY actors ./actors
COPY pipelines ./pipelines
COPY interfaces ./interfaces
COPY configs ./configs
COPY src ./src
RUN pip install --no-cache-dir '.[postgres,telemetry]' 'ray[default]>=2.60' \
    && rm -rf /opt/bessemer

USER ray
WORKDIR /srv/bessemer
# A message to a host that died fails at once; Ray's own way loses it where a clock is set back. Without gRPC's handlers of
# forks Ray Client's server begins a process for each client; with them such a process hangs now and then.
ENV RAY_USAGE_STATS_ENABLED=0 \
    RAY_timeout_ms_task_wait_for_death_info=0 \
    GRPC_ENABLE_FORK_SUPPORT=0 \
    PYTHONUNBUFFERED=1
ENTRYPOINT ["tini", "--"]
CMD ["bessemer", "--help"]
