"""The reference system's tables, planned, run and reported. Which runs: `rows`, `plan`; running them: `execute`,
`score`, `speed`; what came of it: `results`, `tables`, `svg`, `figures`, `page`."""
