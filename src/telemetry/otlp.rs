//! OTLP export over HTTP, only where OpenTelemetry's standard variables name an endpoint.
//!
//! Headers, time-outs, sampling and batch sizes are read from their own `OTEL_…` variables by the SDK.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::SdkTracerProvider;

/// How long the end of the process waits for what is still buffered.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the standard has for certificates.
const CERTIFICATES: [&str; 3] = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];

/// Where traces and metrics are sent: full URLs, paths included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    pub traces: Option<String>,
    pub metrics: Option<String>,
}

/// OTLP settings that cannot be followed, or an export that failed.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    #[error("environment variable {variable}: {value:?} is not supported; allowed: {allowed}")]
    Variable { variable: String, value: String, allowed: &'static str },
    #[error("OTLP endpoint {endpoint}: {message}")]
    Endpoint { endpoint: String, message: String },
    #[error("telemetry was not sent: {0}")]
    Export(String),
}

impl OtlpError {
    pub(super) fn export(error: impl std::fmt::Display) -> Self {
        Self::Export(error.to_string())
    }
}

impl Targets {
    /// What the standard variables ask for:
    ///
    /// | variable | effect |
    /// |---|---|
    /// | `OTEL_SDK_DISABLED=true` | nothing is sent |
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT` | base URL; `v1/traces` and `v1/metrics` are appended |
    /// | `OTEL_EXPORTER_OTLP_{TRACES,METRICS}_ENDPOINT` | full URL of that signal, goes first |
    /// | `OTEL_{TRACES,METRICS}_EXPORTER=none` | that signal is not sent |
    /// | `OTEL_EXPORTER_OTLP[_{TRACES,METRICS}]_PROTOCOL` | must be `http/protobuf` |
    /// | `OTEL_EXPORTER_OTLP[_{TRACES,METRICS}]_{CERTIFICATE,CLIENT_CERTIFICATE,CLIENT_KEY}` | refused: the exporter passes over it |
    ///
    /// # Errors
    /// An exporter or protocol that this program does not speak, for a signal that would be sent.
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, OtlpError> {
        let variable = |name: &str| environment.get(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        if variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Ok(Self::default());
        }
        let target = |signal: &str, path: &str| -> Result<Option<String>, OtlpError> {
            let exporter_variable = format!("OTEL_{signal}_EXPORTER");
            match variable(&exporter_variable).as_deref() {
                Some("none") => return Ok(None),
                None | Some("otlp") => {}
                Some(other) => return Err(unsupported(exporter_variable, other, "otlp, none")),
            }
            let specific = variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
            let general = || variable("OTEL_EXPORTER_OTLP_ENDPOINT");
            let Some(endpoint) = specific.or_else(|| general().map(|base| join(&base, path))) else { return Ok(None) };
            for name in [format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned()] {
                match variable(&name).as_deref() {
                    None => {}
                    Some("http/protobuf") => break,
                    Some(other) => return Err(unsupported(name, other, "http/protobuf")),
                }
            }
            for name in CERTIFICATES {
                for name in [format!("OTEL_EXPORTER_OTLP_{signal}_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")] {
                    if let Some(value) = variable(&name) {
                        return Err(unsupported(name, &value, "none; a CA of your own is named by SSL_CERT_FILE"));
                    }
                }
            }
            Ok(Some(endpoint))
        };
        Ok(Self { traces: target("TRACES", "v1/traces")?, metrics: target("METRICS", "v1/metrics")? })
    }
}

fn unsupported(variable: String, value: &str, allowed: &'static str) -> OtlpError {
    OtlpError::Variable { variable, value: value.to_owned(), allowed }
}

fn join(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}

/// The running exporters. Each has a thread of its own, so that a slow collector never holds up the poll loop; what does
/// not fit its bounded queue is dropped (`OTEL_BSP_MAX_QUEUE_SIZE`).
#[derive(Debug, Default)]
pub struct Exporters {
    pub tracer: Option<SdkTracerProvider>,
    pub metric_reader: Option<PeriodicReader<MetricExporter>>,
}

impl Exporters {
    /// # Errors
    /// An endpoint that is no URL.
    pub fn start(targets: &Targets, service: &str) -> Result<Self, OtlpError> {
        let mut exporters = Self::default();
        if let Some(endpoint) = &targets.traces {
            let exporter = SpanExporter::builder()
                .with_http()
                .with_endpoint(endpoint)
                .build()
                .map_err(|e| refused(endpoint, &e))?;
            let provider = SdkTracerProvider::builder().with_resource(resource(service)).with_batch_exporter(exporter);
            exporters.tracer = Some(provider.build());
        }
        if let Some(endpoint) = &targets.metrics {
            let exporter = MetricExporter::builder()
                .with_http()
                .with_endpoint(endpoint)
                .build()
                .map_err(|e| refused(endpoint, &e))?;
            exporters.metric_reader = Some(PeriodicReader::builder(exporter).build());
        }
        Ok(exporters)
    }
}

fn refused(endpoint: &str, error: &dyn std::fmt::Display) -> OtlpError {
    OtlpError::Endpoint { endpoint: endpoint.to_owned(), message: error.to_string() }
}

/// `service.name`, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say otherwise, and the version.
pub(super) fn resource(service: &str) -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    let named_outside = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|attributes| attributes.contains("service.name="));
    if named_outside { builder.build() } else { builder.with_service_name(service.to_owned()).build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(variables: &[(&str, &str)]) -> Result<Targets, String> {
        let environment = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Targets::from_environment(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named() {
        assert_eq!(targets(&[]), Ok(Targets::default()));
        assert_eq!(targets(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Ok(Targets::default()));
        let disabled = [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")];
        assert_eq!(targets(&disabled), Ok(Targets::default()));
    }

    #[test]
    fn the_standard_variables_are_followed() {
        let both = targets(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/")]).unwrap();
        assert_eq!(both.traces.as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(both.metrics.as_deref(), Some("http://c:4318/v1/metrics"));
        let one = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/spans"),
        ];
        assert_eq!(targets(&one), Ok(Targets { traces: Some("http://t/spans".into()), metrics: None }));
        let grpc = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let message =
            "environment variable OTEL_EXPORTER_OTLP_PROTOCOL: \"grpc\" is not supported; allowed: http/protobuf";
        assert_eq!(targets(&grpc), Err(message.to_owned()));
        let certificate =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c"), ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/ca.pem")];
        let message = "environment variable OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE: \"/ca.pem\" is not supported; \
            allowed: none; a CA of your own is named by SSL_CERT_FILE";
        assert_eq!(targets(&certificate), Err(message.to_owned()));
    }
}
