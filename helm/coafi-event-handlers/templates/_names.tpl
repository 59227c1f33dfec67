{{/* What things are called, and what they are labelled. */}}

{{- define "coafi.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 43 | trimSuffix "-" -}}
{{- end -}}

{{/* Of a role's objects. `consume` is the event handlers themselves. Takes {root, name}. */}}
{{- define "coafi.roleName" -}}
{{- if eq .name "consume" -}}{{ include "coafi.name" .root }}{{- else -}}{{ include "coafi.name" .root }}-{{ .name }}{{- end -}}
{{- end -}}

{{/* The release's; where nobody named one it is Kubernetes' own "default", which is for nobody's services. */}}
{{- define "coafi.namespace" -}}
{{- if eq .Release.Namespace "default" -}}coafi{{- else -}}{{ .Release.Namespace }}{{- end -}}
{{- end -}}

{{- define "coafi.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: coafi
{{- end -}}

{{/* `app` alone tells roles and installations apart. Takes {root, name}. */}}
{{- define "coafi.roleLabels" -}}
app: {{ include "coafi.roleName" . }}
app.kubernetes.io/component: {{ .name }}
{{ include "coafi.labels" .root }}
{{- end -}}

{{- define "coafi.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "coafi.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* Takes {root, tag}: the tag of a role that is held at another release, or none. */}}
{{- define "coafi.image" -}}
{{- $image := .root.Values.image -}}
{{- if .tag -}}{{ $image.repository }}:{{ .tag }}
{{- else if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}
{{- else -}}{{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
