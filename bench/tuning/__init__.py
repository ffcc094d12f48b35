"""Tuning on Ray, which this folder alone imports. Ray reads these settings as it is imported:"""

import os

os.environ |= {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # bench.results writes the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # seldom: --resume reads the study's rows, not Tune's state
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see cluster.interruptible
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # it takes SIGTERM from this command's own handler
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Tune ends the study where Ray's memory monitor kills a trial. Without the monitor Linux does,
    # also beginning with the trials' processes, and the planner starts those runs again.
    "RAY_memory_monitor_refresh_ms": "0",
    # Under `uv run` Ray would copy the project, and start each worker by uv.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
