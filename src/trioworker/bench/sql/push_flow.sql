insert into trioworker.flow (path, version, definition) values ('@path@', 1, '@definition@')
