# The image of every Airflow component, of the workers and of the sandbox. `docker compose build` makes it.
# The slim image has Airflow's core and nothing else; what is added is exactly what the tests run with.
FROM apache/airflow:slim-3.3.2-python3.11

COPY --chown=airflow:0 requirements-prod.lock /opt/airflow/requirements-prod.lock
# The lock is complete: nothing beside it is looked for.
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement /opt/airflow/requirements-prod.lock

# Outside `docker compose` this is all that is needed: the code is in the image, not mounted.
COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 sandbox /opt/airflow/sandbox
COPY --chown=airflow:0 embedded/local_settings /opt/airflow/config
# A new volume takes the owner of the folder it is mounted on.
RUN mkdir /opt/airflow/sandbox-state
COPY --chown=airflow:0 --chmod=0755 docker/pdsf /home/airflow/.local/bin/pdsf
COPY --chown=airflow:0 --chmod=0755 docker/api-server /opt/airflow/docker/api-server

ENV PYTHONPATH=/opt/airflow/plugins \
    PDSF_RULESETS_DIR=/opt/airflow/include/rulesets \
    PDSF_INTEGRATIONS_DIR=/opt/airflow/include/integrations

# As in the base image: not root.
USER airflow
WORKDIR /opt/airflow
