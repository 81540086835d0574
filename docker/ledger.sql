-- The ledger's own database, beside Airflow's: made when the volume is new.
CREATE DATABASE ledger;
