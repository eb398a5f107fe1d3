#!/bin/sh
# Makes one database and one role for each that keeps something; PostgreSQL's image runs it at the very first start.
set -eu
make() {
    psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set=name="$1" --set=password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}
make mlflow "$MLFLOW_DB_PASSWORD"
make prefect "$PREFECT_DB_PASSWORD"
make ledger_local "$LOCAL_DB_PASSWORD"
make ledger_staging "$STAGING_DB_PASSWORD"
make ledger_production "$PRODUCTION_DB_PASSWORD"
