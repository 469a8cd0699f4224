// An OpenTelemetry Collector of the project's own assembling, for tests: the Collector's receiver for OTLP, its pipelines and its
// configuration as they are, and one exporter that writes what came out of a pipeline to a file, a line of OTLP JSON for each batch.
package main

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

type linesConfig struct {
	Folder string `mapstructure:"folder"`
}

var writing sync.Mutex

func (c *linesConfig) add(file string, line []byte) error {
	writing.Lock()
	defer writing.Unlock()
	f, err := os.OpenFile(filepath.Join(c.Folder, file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(append(line, '\n'))
	return err
}

func lines() exporter.Factory {
	traces := func(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
		return exporterhelper.NewTraces(ctx, set, cfg, func(_ context.Context, batch ptrace.Traces) error {
			line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(batch)
			if err != nil {
				return err
			}
			return cfg.(*linesConfig).add("traces.jsonl", line)
		})
	}
	metrics := func(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
		return exporterhelper.NewMetrics(ctx, set, cfg, func(_ context.Context, batch pmetric.Metrics) error {
			line, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(batch)
			if err != nil {
				return err
			}
			return cfg.(*linesConfig).add("metrics.jsonl", line)
		})
	}
	return exporter.NewFactory(component.MustNewType("lines"), func() component.Config { return &linesConfig{} },
		exporter.WithTraces(traces, component.StabilityLevelDevelopment), exporter.WithMetrics(metrics, component.StabilityLevelDevelopment))
}

func factories() (otelcol.Factories, error) {
	otlp, sink := otlpreceiver.NewFactory(), lines()
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
		Exporters: map[component.Type]exporter.Factory{sink.Type(): sink},
		Telemetry: otelconftelemetry.NewFactory(),
	}, nil
}

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "otelcol", Description: "OpenTelemetry Collector for tests", Version: "0"},
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
			DefaultScheme:     "file",
		}},
	})
	if err := command.Execute(); err != nil {
		log.Fatal(err)
	}
}
