-- 0016: flows whose steps share a worker are found by it, when it is gone.
create index flow_state_kept on trioworker.flow_state (worker, id) where worker is not null;
