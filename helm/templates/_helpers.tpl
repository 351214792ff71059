{{- define "gatepost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "gatepost.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "gatepost.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gatepost.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gatepost.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gatepost.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "gatepost.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gatepost.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gatepost.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "gatepost.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A duration of proxy.yaml in whole seconds, rounded up; argument: dict "text", "key". */}}
{{- define "gatepost.seconds" -}}
{{- $number := regexFind "^[0-9]+" .text -}}
{{- $unit := trimPrefix $number .text -}}
{{- if not (and $number (has $unit (list "ms" "s" "m" "h"))) -}}
{{- fail (printf "%s: %q is no duration that the chart can compute with; set terminationGracePeriodSeconds" .key .text) -}}
{{- end -}}
{{- if eq $unit "ms" -}}
{{- div (add (atoi $number) 999) 1000 -}}
{{- else -}}
{{- mul (atoi $number) (get (dict "s" 1 "m" 60 "h" 3600) $unit) -}}
{{- end -}}
{{- end -}}

{{/* Whether the chart serves its built-in trial: no backend is set. */}}
{{- define "gatepost.isTrial" -}}
{{- if not (.Values.config).backends -}}true{{- end -}}
{{- end -}}

{{- define "gatepost.hasUsersMap" -}}
{{- $m := .Values.usersMap -}}
{{- if or $m.text $m.existingConfigMap $m.existingSecret -}}true{{- end -}}
{{- end -}}

{{/* Secrets with certificates, the default first, as a JSON list. */}}
{{- define "gatepost.tlsSecrets" -}}
{{- $list := list -}}
{{- if .Values.tls.certManager.enabled -}}
{{- $list = append $list (printf "%s-tls" (include "gatepost.fullname" .)) -}}
{{- end -}}
{{- range .Values.tls.existingSecrets -}}{{- $list = append $list . -}}{{- end -}}
{{- if not $list -}}
{{- $list = list (printf "%s-self-signed" (include "gatepost.fullname" .)) -}}
{{- end -}}
{{- toJson $list -}}
{{- end -}}

{{/* Whether `config` brings its own certificates. What else stands in `config.tls` goes with the chart's. */}}
{{- define "gatepost.tlsByHand" -}}
{{- $tls := default dict (.Values.config).tls -}}
{{- if or $tls.cert $tls.certificates -}}true{{- end -}}
{{- end -}}

{{/* Whether the chart makes a certificate itself. */}}
{{- define "gatepost.isSelfSigned" -}}
{{- if not (or .Values.tls.certManager.enabled .Values.tls.existingSecrets (include "gatepost.tlsByHand" .)) -}}true{{- end -}}
{{- end -}}

{{/* Whether the chart makes the admin token itself. */}}
{{- define "gatepost.makesToken" -}}
{{- if not (or (not .Values.adminToken.create) .Values.adminToken.existingSecret ((.Values.config).admin).token_file) -}}true{{- end -}}
{{- end -}}

{{- define "gatepost.adminSecret" -}}
{{- default (printf "%s-admin" (include "gatepost.fullname" .)) .Values.adminToken.existingSecret -}}
{{- end -}}

{{- define "gatepost.ticketSecret" -}}
{{- default (printf "%s-tickets" (include "gatepost.fullname" .)) .Values.tls.ticketKey.existingSecret -}}
{{- end -}}

{{- define "gatepost.sharesTickets" -}}
{{- $byHand := or (include "gatepost.tlsByHand" .) ((.Values.config).tls).ticket_key_file -}}
{{- if and (or .Values.tls.ticketKey.create .Values.tls.ticketKey.existingSecret) (not $byHand) -}}true{{- end -}}
{{- end -}}

{{/* The name that the test finds in the certificate; none: it cannot know one. */}}
{{- define "gatepost.testTlsName" -}}
{{- $name := .Values.test.tlsName -}}
{{- if and (not $name) .Values.tls.certManager.enabled -}}{{- $name = first .Values.tls.certManager.dnsNames -}}{{- end -}}
{{- if and (not $name) (include "gatepost.isSelfSigned" .) -}}{{- $name = first .Values.tls.selfSigned.dnsNames -}}{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Passwords that are written out in `config` and so stand in a ConfigMap, as lines; argument: dict "value", "path". */}}
{{- define "gatepost.openSecrets" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- if and (eq $key "headers") (kindIs "map" $value) -}}
{{- range $name, $text := $value -}}
{{- if and (kindIs "string" $text) (not (contains "${" $text)) }}
{{ $path }}.headers.{{ $name }}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "string" $value) (or (eq $key "password") (eq $key "state") (eq $key "url")) -}}
{{- if and (not (contains "${" $value)) (or (eq $key "password") (regexMatch "^rediss?://[^/]*:[^/]+@" $value)) }}
{{ $path }}.{{ $key }}
{{- end -}}
{{- else -}}
{{- include "gatepost.openSecrets" (dict "value" $value "path" (printf "%s.%s" $path $key)) -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $i, $value := .value -}}
{{- include "gatepost.openSecrets" (dict "value" $value "path" (printf "%s[%d]" $path $i)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Port of the admin listener. */}}
{{- define "gatepost.adminPort" -}}
{{- $config := include "gatepost.config" . | fromYaml -}}
{{- regexFind "[0-9]+$" $config.admin.bind -}}
{{- end -}}

{{/* Where what the chart opens listens: `[::]` is both families, and needs IPv6 on the node. */}}
{{- define "gatepost.anywhere" -}}
{{- $isBoth := or (hasSuffix "DualStack" .Values.service.ipFamilyPolicy) (has "IPv6" .Values.service.ipFamilies) -}}
{{- ternary "[::]" "0.0.0.0" $isBoth -}}
{{- end -}}

{{/* proxy.yaml as the gateway gets it. */}}
{{- define "gatepost.config" -}}
{{- $config := deepCopy (default dict .Values.config) -}}
{{- $anywhere := include "gatepost.anywhere" . -}}
{{- if not $config.listeners -}}
{{- $listeners := list -}}
{{- range list "imap://%s:1143" "imaps://%s:1993" "pop3://%s:1110" "pop3s://%s:1995" -}}
{{- $listeners = append $listeners (printf . $anywhere) -}}
{{- end -}}
{{- $_ := set $config "listeners" $listeners -}}
{{- end -}}
{{- if .Values.proxyProtocol.enabled -}}
{{- $listeners := list -}}
{{- range $config.listeners -}}
{{- $listener := ternary (dict "bind" .) . (kindIs "string" .) -}}
{{- if not (hasKey $listener "proxy_protocol") -}}
{{- $_ := set $listener "proxy_protocol" $.Values.proxyProtocol.networks -}}
{{- end -}}
{{- $listeners = append $listeners $listener -}}
{{- end -}}
{{- $_ := set $config "listeners" $listeners -}}
{{- end -}}
{{- if include "gatepost.isTrial" . -}}
{{- $_ := set $config "backends" (dict "demo" "demo://") -}}
{{- $_ := set $config "users" (dict "*" "demo") -}}
{{- end -}}
{{- if include "gatepost.hasUsersMap" . -}}
{{- $file := dict "file" (printf "/etc/gatepost/users/%s" .Values.usersMap.key) -}}
{{- $_ := set $config "users_from" (prepend (default list $config.users_from) $file) -}}
{{- end -}}
{{- if not (include "gatepost.tlsByHand" .) -}}
{{- $pairs := list -}}
{{- range (include "gatepost.tlsSecrets" . | fromJsonArray) -}}
{{- $pairs = append $pairs (dict "cert" (printf "/etc/gatepost/tls/%s/tls.crt" .) "key" (printf "/etc/gatepost/tls/%s/tls.key" .)) -}}
{{- end -}}
{{- $filled := ternary (first $pairs) (dict "certificates" $pairs) (eq (len $pairs) 1) -}}
{{- $tls := merge $filled (omit (default dict $config.tls) "certificates") -}}
{{- if include "gatepost.sharesTickets" . -}}
{{- $_ := set $tls "ticket_key_file" "/etc/gatepost/tickets/ticket.key" -}}
{{- end -}}
{{- $_ := set $config "tls" $tls -}}
{{- end -}}
{{- $admin := default dict $config.admin -}}
{{- if not $admin.bind -}}{{- $_ := set $admin "bind" (printf "%s:9090" $anywhere) -}}{{- end -}}
{{- if not $admin.token_file -}}{{- $_ := set $admin "token_file" "/etc/gatepost/admin/token" -}}{{- end -}}
{{- $_ := set $config "admin" $admin -}}
{{- $timeouts := default dict $config.timeouts -}}
{{- if not (hasKey $timeouts "drain_delay") -}}{{- $_ := set $timeouts "drain_delay" "5s" -}}{{- end -}}
{{- $_ := set $config "timeouts" $timeouts -}}
{{- $limits := default dict $config.limits -}}
{{- if not $limits.connections -}}
{{- with include "gatepost.connections" . -}}
{{- $_ := set $limits "connections" (int .) -}}
{{- $_ := set $config "limits" $limits -}}
{{- end -}}
{{- end -}}
{{- if .Values.redis.existingSecret -}}
{{- $_ := set $config "state" "${GATEPOST_REDIS_URL}" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Listeners as a JSON list of scheme, port, name of the port, port of the Service. */}}
{{- define "gatepost.listeners" -}}
{{- $config := include "gatepost.config" . | fromYaml -}}
{{- $default := dict "imap" 143 "imaps" 993 "pop3" 110 "pop3s" 995 "submission" 587 "submissions" 465 -}}
{{- $list := list -}}
{{- $names := list -}}
{{- $ports := list -}}
{{- $containerPorts := dict (regexFind "[0-9]+$" $config.admin.bind) "config.admin" -}}
{{- range $i, $listener := $config.listeners -}}
{{- $url := ternary $listener (get (ternary dict $listener (kindIs "string" $listener)) "bind") (kindIs "string" $listener) -}}
{{- $scheme := regexFind "^[a-z0-9]+" $url -}}
{{- if contains "$" $url -}}
{{- fail (printf "config.listeners[%d]: the chart must know the port of %q; write it without a variable" $i $url) -}}
{{- end -}}
{{- if regexMatch "://(127\\.|\\[::1\\])" $url -}}
{{- fail (printf "config.listeners[%d]: %q is the pod's loopback, where nobody can reach it; write 0.0.0.0 or [::]" $i $url) -}}
{{- end -}}
{{- $port := default (get $default $scheme) (regexFind ":[0-9]+/?$" $url | trimPrefix ":" | trimSuffix "/" | atoi) | int -}}
{{- $name := ternary (printf "%s-%d" $scheme $port) $scheme (has $scheme $names) -}}
{{- $taken := get $containerPorts (toString $port) -}}
{{- if $taken -}}
{{- fail (printf "config.listeners[%d]: port %d is taken by %s" $i $port $taken) -}}
{{- end -}}
{{- $_ := set $containerPorts (toString $port) (printf "config.listeners[%d]" $i) -}}
{{- $outside := default (ternary $port (get $default $scheme) (has $scheme $names)) (get $.Values.service.ports $name) | int -}}
{{- if has $outside $ports -}}
{{- fail (printf "service.ports: two listeners have port %d; name another one for %q" $outside $name) -}}
{{- end -}}
{{- $names = append $names $name -}}
{{- $ports = append $ports $outside -}}
{{- $list = append $list (dict "scheme" $scheme "port" $port "name" $name "outside" $outside) -}}
{{- end -}}
{{- range $name, $port := .Values.service.ports -}}
{{- if not (has $name $names) -}}{{- fail (printf "service.ports.%s: no listener's port has this name; there are %s" $name (join ", " $names)) -}}{{- end -}}
{{- end -}}
{{- range $name, $port := .Values.service.nodePorts -}}
{{- if not (has $name $names) -}}{{- fail (printf "service.nodePorts.%s: no listener's port has this name; there are %s" $name (join ", " $names)) -}}{{- end -}}
{{- end -}}
{{- toJson $list -}}
{{- end -}}

{{/* URLs as a JSON list of url and key; argument: dict "value": a URL, a list or a map of some, "key". */}}
{{- define "gatepost.urls" -}}
{{- $urls := list -}}
{{- $key := .key -}}
{{- if kindIs "string" .value -}}
{{- $urls = append $urls (dict "url" .value "key" $key) -}}
{{- else if kindIs "slice" .value -}}
{{- range $i, $inner := .value -}}
{{- $urls = concat $urls (include "gatepost.urls" (dict "value" $inner "key" (printf "%s[%d]" $key $i)) | fromJsonArray) -}}
{{- end -}}
{{- else -}}
{{- range $name := list "discover" "hosts" "imap" "pop3" "submission" -}}
{{- with get (default dict $.value) $name -}}
{{- /* `pop3` of a backend is a map of settings; of a host it is a URL. */ -}}
{{- if not (kindIs "map" .) -}}
{{- $urls = concat $urls (include "gatepost.urls" (dict "value" . "key" (printf "%s.%s" $key $name)) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $urls -}}
{{- end -}}

{{/* Every URL of a backend's hosts and of a lookup service, likewise. */}}
{{- define "gatepost.hostUrls" -}}
{{- $config := include "gatepost.config" . | fromYaml -}}
{{- $urls := list -}}
{{- range $name, $backend := $config.backends -}}
{{- $urls = concat $urls (include "gatepost.urls" (dict "value" $backend "key" (printf "config.backends.%s" $name)) | fromJsonArray) -}}
{{- end -}}
{{- range $i, $source := $config.users_from -}}
{{- with $source.http -}}
{{- $urls = concat $urls (include "gatepost.urls" (dict "value" . "key" (printf "config.users_from[%d].http" $i)) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- toJson $urls -}}
{{- end -}}

{{/* Where those URLs lead, as a JSON list of host and port. */}}
{{- define "gatepost.destinations" -}}
{{- $default := dict "imap" 143 "imap+starttls" 143 "imaps" 993 "pop3" 110 "pop3+starttls" 110 "pop3s" 995 "submission" 587 "submission+starttls" 587 "submissions" 465 "http" 80 "https" 443 -}}
{{- $list := list -}}
{{- range include "gatepost.hostUrls" . | fromJsonArray -}}
{{- $scheme := regexFind "^[a-z0-9+]+" .url -}}
{{- if ne $scheme "demo" -}}
{{- $authority := regexReplaceAll "^[a-z0-9+]+://([^/?]*).*$" .url "${1}" -}}
{{- if contains "${" $authority -}}
{{- fail (printf "%s: the network policy must know host and port of %q; write them without a variable" .key .url) -}}
{{- end -}}
{{- $port := default (get $default $scheme) (regexFind ":[0-9]+$" $authority | trimPrefix ":" | atoi) | int -}}
{{- $host := regexReplaceAll ":[0-9]+$" $authority "" | trimPrefix "[" | trimSuffix "]" -}}
{{- $list = append $list (dict "host" $host "port" $port) -}}
{{- end -}}
{{- end -}}
{{- toJson ($list | uniq) -}}
{{- end -}}

{{/* Port of the Redis that `config.state` or redis.existingSecret leads to; none: there is no Redis. */}}
{{- define "gatepost.redisPort" -}}
{{- $state := (.Values.config).state -}}
{{- $url := ternary (get (ternary $state dict (kindIs "map" $state)) "url") $state (kindIs "map" $state) | default "" | toString -}}
{{- $authority := regexReplaceAll "^rediss?://(?:[^/?#]*@)?([^/?#]*).*$" $url "${1}" -}}
{{- if .Values.redis.existingSecret -}}
{{- int .Values.redis.port -}}
{{- else if not (or (hasPrefix "redis" $url) (hasPrefix "${" $url)) -}}
{{- else if regexMatch ":0*[1-9][0-9]*$" $authority -}}
{{- regexFind "[1-9][0-9]*$" $authority -}}
{{- else if contains "${" $authority -}}
{{- int .Values.redis.port -}}
{{- else -}}
{{- 6379 -}}
{{- end -}}
{{- end -}}
