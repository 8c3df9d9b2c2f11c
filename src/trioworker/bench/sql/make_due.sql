update trioworker.ready set scheduled_for = now()
