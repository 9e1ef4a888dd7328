"""Figures that tell the truth. Pure; time is an argument."""

from posewire.monitor.alert_manager import Alert, AlertManager
from posewire.monitor.history import HISTORY_SECONDS
from posewire.monitor.latency_histogram import Bars, LatencyHistogram
from posewire.monitor.percentiles import percentiles
from posewire.monitor.performance_data import load_performance_data, save_performance_data
from posewire.monitor.performance_metrics import PerformanceMetrics, Readings
from posewire.monitor.performance_monitor import PerformanceMonitor
from posewire.monitor.performance_report import PerformanceReport, build_report
from posewire.monitor.recommendations import Recommendation, recommend
from posewire.monitor.report_markdown import report_markdown
from posewire.monitor.report_page import report_page
from posewire.monitor.stream_stats import StreamFigures, StreamStats
from posewire.monitor.thresholds import THRESHOLDS

__all__ = [
    "Alert",
    "AlertManager",
    "Bars",
    "HISTORY_SECONDS",
    "LatencyHistogram",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "PerformanceReport",
    "Readings",
    "Recommendation",
    "StreamFigures",
    "StreamStats",
    "THRESHOLDS",
    "build_report",
    "load_performance_data",
    "percentiles",
    "recommend",
    "report_markdown",
    "report_page",
    "save_performance_data",
]
