"""gemcli: Gemini conversations in files, for shells, scripts and cron."""

__version__ = "0.1.0"
