"""Side-by-side comparisons; every table in results/ is written by one command of this package."""
