"""Figures that tell the truth. Pure; time is an argument."""

from posewire.monitor.percentiles import percentiles
from posewire.monitor.performance_monitor import PerformanceMetrics, PerformanceMonitor
from posewire.monitor.stream_stats import StreamFigures, StreamStats

__all__ = ["PerformanceMetrics", "PerformanceMonitor", "StreamFigures", "StreamStats", "percentiles"]
