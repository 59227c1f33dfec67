{{/* What every pod of coafi has: a role's, and the one that sets topics and schemas up. */}}

{{/* A role with what all pods have. Takes {root, name}; gives YAML. */}}
{{- define "coafi.role" -}}
{{- mergeOverwrite (deepCopy .root.Values.pod) (deepCopy (index .root.Values.roles .name)) | toYaml -}}
{{- end -}}

{{/* coafi.yaml. Takes {root, role}. */}}
{{- define "coafi.config" -}}
{{- $config := mergeOverwrite (deepCopy .root.Values.config) (deepCopy (.role.config | default dict)) -}}
{{- if .root.Values.routes -}}
{{- $config = mergeOverwrite $config (dict "routes_file" "/run/coafi/routes/handler_routes.yaml") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
The drain is of `kafka.drain.timeout` (docs/operations.md); the platform has to give a little more, or it kills what would have
been committed. Takes {root, role}.
*/}}
{{- define "coafi.graceSeconds" -}}
{{- $kafka := (include "coafi.config" . | fromYaml).kafka | default dict -}}
{{- $drain := ($kafka.drain | default dict).timeout | default "20s" | toString -}}
{{- $number := regexFind "^[0-9]+" $drain | int -}}
{{- $seconds := $number -}}
{{- if hasSuffix "ms" $drain -}}{{- $seconds = div $number 1000 -}}
{{- else if hasSuffix "m" $drain -}}{{- $seconds = mul $number 60 -}}
{{- else if hasSuffix "h" $drain -}}{{- $seconds = mul $number 3600 -}}
{{- else if not (regexMatch "^[0-9]+s$" $drain) -}}{{- fail (printf "config.kafka.drain.timeout: %q is not allowed; allowed: a duration such as 20s or 1m" $drain) -}}
{{- end -}}
{{- add $seconds 10 (.role.preStopSeconds | default 0) -}}
{{- end -}}

{{/* Takes {root, role}. Kubernetes expands $(NAME) only of variables that stand above: the platform's are first. */}}
{{- define "coafi.env" -}}
{{- $platform := .root.Values.platform -}}
- name: BITT_API_URL
  valueFrom:
    configMapKeyRef:
      name: {{ $platform.configMap }}
      key: {{ $platform.bittApiUrlKey }}
- name: REGISTRY_API_URL
  valueFrom:
    configMapKeyRef:
      name: {{ $platform.configMap }}
      key: {{ $platform.registryApiUrlKey }}
{{- if .role.authSecret }}
- name: AUTH_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ $platform.secret }}
      key: {{ $platform.authSecretKey }}
{{- end }}
- name: COAFI_CONFIG
  value: /run/coafi/config/coafi.yaml
# The hostname would be the same, unless a pod says another or uses its node's network.
- name: COAFI__KAFKA__SLOT
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- /* The image sets these two, and a variable goes before the file: what `config` says would be without effect. */}}
{{- $config := include "coafi.config" . | fromYaml }}
{{- with ($config.artifacts | default dict).url }}
- name: COAFI__ARTIFACTS__URL
  value: {{ . | quote }}
{{- end }}
{{- with ($config.git | default dict).cache_dir }}
- name: COAFI__GIT__CACHE_DIR
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := mergeOverwrite (deepCopy .root.Values.env) (deepCopy (.role.env | default dict)) }}
- name: {{ $name }}
  {{- /* A million is 1e+06 as a text of Go's, and no number to coafi. */}}
  value: {{ ternary (toJson $value) (toString $value) (kindIs "float64" $value) | quote }}
{{- end }}
{{- range $name, $from := mergeOverwrite (deepCopy .root.Values.secretEnv) (deepCopy (.role.secretEnv | default dict)) }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secret }}
      key: {{ $from.key }}
{{- end }}
{{- end -}}

{{- define "coafi.secretFiles" -}}
{{- mergeOverwrite (deepCopy .root.Values.secretFiles) (deepCopy (.role.secretFiles | default dict)) | toYaml -}}
{{- end -}}

{{/* Takes {root, role}. Directories, not single files: a file that is mounted by itself does not change with its ConfigMap. */}}
{{- define "coafi.volumeMounts" -}}
- name: data
  mountPath: /var/lib/coafi
- name: config
  mountPath: /run/coafi/config
  readOnly: true
{{- if .root.Values.routes }}
- name: routes
  mountPath: /run/coafi/routes
  readOnly: true
{{- end }}
{{- if include "coafi.secretFiles" . | fromYaml }}
- name: secrets
  mountPath: /run/secrets/coafi
  readOnly: true
{{- end }}
{{- with .role.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes {root, role, configMap, routesConfigMap}. */}}
{{- define "coafi.volumes" -}}
- name: data
  {{- toYaml .role.dataVolume | nindent 2 }}
- name: config
  configMap:
    name: {{ .configMap }}
{{- if .root.Values.routes }}
- name: routes
  configMap:
    name: {{ .routesConfigMap }}
{{- end }}
{{- with include "coafi.secretFiles" . | fromYaml }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $file, $from := . }}
      - secret:
          name: {{ $from.secret }}
          items:
            - key: {{ $from.key }}
              path: {{ $file }}
      {{- end }}
{{- end }}
{{- with .role.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
