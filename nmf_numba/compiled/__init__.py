"""All that is about compiling and threads: the options of compiled loops, chunks of rows, linear algebra, powers."""
