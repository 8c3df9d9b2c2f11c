-- 0016: flows whose steps share a worker are found by it, when it is gone.
create index flow_state_worker on trioworker.flow_state (worker, root) where worker is not null;
