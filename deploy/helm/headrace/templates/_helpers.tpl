{{- define "headrace.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "headrace.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ include "headrace.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "headrace.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "headrace.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "headrace.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "headrace.scheme" -}}
{{ ternary "HTTPS" "HTTP" (not (empty .Values.tls.secretName)) }}
{{- end -}}

{{/* Seconds of a duration such as 10s or 2m. */}}
{{- define "headrace.seconds" -}}
{{- $text := . | default "0s" | toString -}}
{{- if hasSuffix "ms" $text -}}1
{{- else if hasSuffix "m" $text -}}{{ mul (trimSuffix "m" $text | int) 60 }}
{{- else -}}{{ trimSuffix "s" $text | int }}
{{- end -}}
{{- end -}}

{{/* The port of an address such as 0.0.0.0:9281. */}}
{{- define "headrace.metricsPort" -}}
{{ .Values.settings.metrics_listen | splitList ":" | last }}
{{- end -}}

{{- define "headrace.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where probes connect: clients with certificates are asked for one, so probes then use the address of metrics. */}}
{{- define "headrace.probe" -}}
{{- if .Values.tls.clientCa -}}
{{- $_ := required "tls.clientCa needs settings.metrics_listen: probes have no certificate" .Values.settings.metrics_listen -}}
port: metrics
{{- else -}}
port: http, scheme: {{ include "headrace.scheme" . }}
{{- end -}}
{{- end -}}
