{{/* What all names begin with. StatefulSets have 52 characters, 22 of which are for "-pool-" and the pool's name. */}}
{{- define "cloudach.fullname" -}}
{{- $own := printf "%s-%s" .Release.Name .Chart.Name -}}
{{- if contains .Chart.Name .Release.Name }}{{ $own = .Release.Name }}{{ end -}}
{{- .Values.fullnameOverride | default $own | trunc 26 | trimSuffix "-" -}}
{{- end }}

{{/* Labels that never change: (dict "root" $ "component" "edge"). */}}
{{- define "cloudach.selector" -}}
app.kubernetes.io/name: cloudach
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
cloudach/pool: {{ . }}
{{- end }}
{{- end }}

{{- define "cloudach.labels" -}}
{{ include "cloudach.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* One of our images: (dict "root" $ "image" .image). */}}
{{- define "cloudach.image" -}}
{{- $name := printf "%s/%s" (trimSuffix "/" .root.Values.image.registry) .image.repository -}}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* A duration as the services write it ("1h 30m", "500ms") in whole seconds, rounded up. */}}
{{- define "cloudach.seconds" -}}
{{- $ms := 0 -}}
{{- range regexFindAll "[0-9]+ *[a-z]+" . -1 -}}
{{- $number := regexFind "[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- if eq $unit "ms" -}}{{- $ms = add $ms $number -}}
{{- else if has $unit (list "s" "sec" "second" "seconds") -}}{{- $ms = add $ms (mul $number 1000) -}}
{{- else if has $unit (list "m" "min" "minute" "minutes") -}}{{- $ms = add $ms (mul $number 60000) -}}
{{- else if has $unit (list "h" "hr" "hour" "hours") -}}{{- $ms = add $ms (mul $number 3600000) -}}
{{- else if has $unit (list "d" "day" "days") -}}{{- $ms = add $ms (mul $number 86400000) -}}
{{- else -}}{{- fail (printf "the chart cannot read the duration %q: use ms, s, m, h or d" .) -}}
{{- end -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end }}

{{/* How long a pod may take to stop: (dict "config" config "preStop" n "more" seconds). What is left over: handing over, last words, and
     five seconds until the process is told at all. The defaults are the services'. */}}
{{- define "cloudach.stopSeconds" -}}
{{- $drain := .config.drain | default dict -}}
{{- $settle := include "cloudach.seconds" ($drain.settle | default "1s") | int64 -}}
{{- $grace := include "cloudach.seconds" ($drain.grace | default "30s") | int64 -}}
{{- add $settle $grace (.preStop | default 0 | int64) (.more | default 0 | int64) 10 -}}
{{- end }}

{{/* The longest that a request may take, in seconds. */}}
{{- define "cloudach.requestSeconds" -}}
{{- include "cloudach.seconds" ((.Values.edge.config.limits | default dict).request_time | default "30m") -}}
{{- end }}

{{/* Every router by its own name: "[a:7001, b:7001]". */}}
{{- define "cloudach.routers" -}}
{{- $name := printf "%s-router" (include "cloudach.fullname" .) -}}
{{- $routers := list -}}
{{- range $n := until (int .Values.router.replicas) -}}
{{- $routers = append $routers (printf "%s-%d.%s:7001" $name $n $name) -}}
{{- end -}}
{{- $routers | toJson -}}
{{- end }}

{{/* The most pods that a pool comes to. */}}
{{- define "cloudach.poolMost" -}}
{{- if .keda.enabled }}{{ .keda.max }}{{ else }}{{ .replicas }}{{ end -}}
{{- end }}

{{/* "true" when some pool is managed. */}}
{{- define "cloudach.managed" -}}
{{- range $name, $pool := .Values.pools }}{{ if ($pool.config).managed }}true{{ end }}{{ end -}}
{{- end }}

{{/* The catalogue, with the models of pools that it does not name. */}}
{{- define "cloudach.catalogue" -}}
{{- $catalogue := deepCopy .Values.catalogue -}}
{{- range $name, $pool := .Values.pools -}}
{{- with $pool.config.model -}}
{{- if not (hasKey $catalogue.models .) }}{{ $_ := set $catalogue.models . dict }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $catalogue -}}
{{- end }}

{{/* The Secret with a component's certificate, or nothing: (dict "root" $ "component" "edge"). */}}
{{- define "cloudach.tlsSecret" -}}
{{- $mtls := .root.Values.mtls -}}
{{- if $mtls.enabled -}}
{{- $given := index $mtls.secrets .component -}}
{{- if $given -}}
{{ $given }}
{{- else if $mtls.certManager.issuerRef -}}
{{ include "cloudach.fullname" .root }}-{{ .component }}-tls
{{- else -}}
{{ fail (printf "mtls.enabled needs certificates: mtls.secrets.%s, or mtls.certManager.issuerRef" .component) }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Where a service finds its certificates, as its configuration has it. */}}
{{- define "cloudach.tls" -}}
{{- if .Values.mtls.enabled -}}
{{- $names := dict "edge" .Values.mtls.names.edge "router" .Values.mtls.names.router "sidecar" .Values.mtls.names.pool -}}
{{- $at := "/etc/cloudach/tls" -}}
{{- dict "cert" (printf "%s/tls.crt" $at) "key" (printf "%s/tls.key" $at) "ca" (printf "%s/ca.crt" $at) "names" $names | toJson -}}
{{- end -}}
{{- end }}

{{- define "cloudach.tlsMount" -}}
{{- if .Values.mtls.enabled }}
- {name: tls, mountPath: /etc/cloudach/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "cloudach.tlsVolume" -}}
{{- with include "cloudach.tlsSecret" . }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- end }}

{{- define "cloudach.edgeConfig" -}}
{{- $config := deepCopy .Values.edge.config -}}
{{- with include "cloudach.tls" . }}{{ $_ := set $config "tls" (. | fromJson) }}{{ end -}}
{{- $store := $config.store | default dict -}}
{{- if $store.path }}{{ fail "edge.config.store.path is a folder of one process: use edge.config.store.redis" }}{{ end -}}
{{- if and .Values.valkey.enabled (not $store.redis) -}}
{{- if not $store.pepper }}{{ fail "valkey.enabled needs edge.config.store.pepper: {env: CLOUDACH_PEPPER}, and edge.secretEnv.CLOUDACH_PEPPER" }}{{ end -}}
{{- $url := printf "redis://%s-valkey:6379/0" (include "cloudach.fullname" .) -}}
{{- $_ := set $config "store" (merge (dict "redis" (dict "url" $url)) $store) -}}
{{- end -}}
{{- $_ := set $config "listen" (printf "%s:8080" .Values.bind) -}}
{{- $_ := set $config "admin" (printf "%s:9080" .Values.bind) -}}
{{- $_ := set $config "routers" (include "cloudach.routers" . | fromJsonArray) -}}
{{- toYaml $config -}}
{{- end }}

{{/* Every managed pool needs one router that orders, at a time. */}}
{{- define "cloudach.routerConfig" -}}
{{- $config := deepCopy .Values.router.config -}}
{{- with include "cloudach.tls" . }}{{ $_ := set $config "tls" (. | fromJson) }}{{ end -}}
{{- $placement := $config.placement | default dict -}}
{{- if and (include "cloudach.managed" .) (gt (int .Values.router.replicas) 1) (not $placement.lease) -}}
{{- $lease := dict "kubernetes" (dict "name" (printf "%s-placement" (include "cloudach.fullname" .))) -}}
{{- $_ := set $config "placement" (merge (dict "lease" $lease) $placement) -}}
{{- end -}}
{{- $_ := set $config "listen" (printf "%s:7001" .Values.bind) -}}
{{- $_ := set $config "admin" (printf "%s:9001" .Values.bind) -}}
{{- $_ := set $config "catalogue" "/etc/cloudach/catalogue/catalogue.yaml" -}}
{{- toYaml $config -}}
{{- end }}

{{/* "true" when routers keep a lease in Kubernetes. */}}
{{- define "cloudach.leased" -}}
{{- $config := include "cloudach.routerConfig" . | fromYaml -}}
{{- if hasKey (dig "placement" "lease" (dict) $config) "kubernetes" }}true{{ end -}}
{{- end }}

{{/* (dict "root" $ "pool" pool "pod" its name, or "" where all pods have the same file). */}}
{{- define "cloudach.poolConfig" -}}
{{- $config := deepCopy .pool.config -}}
{{- with include "cloudach.tls" .root }}{{ $_ := set $config "tls" (. | fromJson) }}{{ end -}}
{{- if and $config.managed (gt (int .pool.gpu.memoryMib) 0) -}}
{{- $gpus := list -}}
{{- range $n := until (int .pool.gpu.count) -}}
{{- $gpus = append $gpus (dict "id" (printf "%s-gpu-%d" $.pod $n) "memory_mib" $.pool.gpu.memoryMib) -}}
{{- end -}}
{{- $_ := set $config.managed "gpus" $gpus -}}
{{- end -}}
{{- $_ := set $config "listen" (printf "%s:7101" .root.Values.bind) -}}
{{- $_ := set $config "admin" (printf "%s:9101" .root.Values.bind) -}}
{{- $_ := set $config "routers" (include "cloudach.routers" .root | fromJsonArray) -}}
{{- toYaml $config -}}
{{- end }}

{{/* Environment: (dict "env" .env "secretEnv" .secretEnv). */}}
{{- define "cloudach.env" -}}
{{- range $name, $value := .env }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- range $name, $from := .secretEnv }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}
{{- end }}
{{- end }}

{{- define "cloudach.secretMounts" -}}
{{- range $n, $file := . }}
- name: secret-{{ $n }}
  mountPath: {{ $file.path }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "cloudach.secretVolumes" -}}
{{- range $n, $file := . }}
- name: secret-{{ $n }}
  secret:
    secretName: {{ $file.secret }}
{{- end }}
{{- end }}

{{/* Pod Security "restricted". */}}
{{- define "cloudach.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cloudach.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Alive: the process answers. Ready: it may be sent work; not while it stops. One answer that is late says nothing: where all edges are busy, all of
     them would be taken out at once. A pod that is deleted is taken out at once, whatever its probe says. */}}
{{- define "cloudach.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{- define "cloudach.preStop" -}}
{{- if gt (int .) 0 }}
lifecycle:
  preStop:
    sleep: {seconds: {{ . }}}
{{- end }}
{{- end }}

{{- define "cloudach.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cloudach.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* Where a pod may be: of edge, router or a pool. */}}
{{- define "cloudach.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "cloudach.pull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What a pool's container gets, with its GPUs. */}}
{{- define "cloudach.poolResources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpu.count) 0 -}}
{{- $gpus := dict .gpu.resource (int .gpu.count) -}}
{{- $_ := set $resources "requests" (merge (deepCopy $gpus) ($resources.requests | default dict)) -}}
{{- $_ := set $resources "limits" (merge (deepCopy $gpus) ($resources.limits | default dict)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}
