package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"patronus.internal/dashboard/security"
)

// newMetrics is what GET /metrics answers with: the figures of this program that
// there are, and those of Go and of the process.
func newMetrics(service *security.Service, log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &sinkLag{service: service, log: log})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)})
}

// metrics answers in the text format of Prometheus: GET /metrics.
func (s *Server) metrics(c echo.Context) error {
	s.figures.ServeHTTP(c.Response(), c.Request())
	return nil
}

// The series of a sink bear its kind, and never its address.
var (
	lagEvents  = prometheus.NewDesc("audit_sink_lag_events", "Events of the audit log that a sink does not have yet.", []string{"sink"}, nil)
	lagSeconds = prometheus.NewDesc("audit_sink_lag_seconds", "Age of the oldest event of the audit log that a sink does not have yet.", []string{"sink"}, nil)
)

// sinkLag collects how far each sink of the log is behind.
type sinkLag struct {
	service *security.Service
	log     *slog.Logger
}

// Describe implements prometheus.Collector.
func (*sinkLag) Describe(to chan<- *prometheus.Desc) {
	to <- lagEvents
	to <- lagSeconds
}

// Collect implements prometheus.Collector.
func (l *sinkLag) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	list, err := l.service.SinkLag(ctx)
	if err != nil {
		l.log.ErrorContext(ctx, "the lag of the sinks cannot be told", "error", err)
	}
	for _, lag := range list {
		to <- prometheus.MustNewConstMetric(lagEvents, prometheus.GaugeValue, float64(lag.Events), lag.Kind)
		to <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, lag.Age.Seconds(), lag.Kind)
	}
}
