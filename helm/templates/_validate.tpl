{{/* Mistakes that no schema can name, and that would only show in the cluster. */}}
{{- define "gatepost.validate" -}}
{{- $given := default dict .Values.config -}}
{{- $config := include "gatepost.config" . | fromYaml -}}
{{- include "gatepost.validate.durations" $config -}}
{{- include "gatepost.validate.users" (dict "config" $config) -}}
{{- include "gatepost.validate.backends" (dict "config" $config) -}}
{{- include "gatepost.validate.listeners" (dict "config" $config) -}}
{{- include "gatepost.validate.sources" (dict "config" $config) -}}
{{- include "gatepost.validate.networks" (dict "config" $config) -}}
{{- include "gatepost.validate.hosts" (dict "root" . "config" $config) -}}
{{- include "gatepost.validate.variables" (dict "root" . "config" $config) -}}
{{- if and $given.users (include "gatepost.isTrial" .) -}}
{{- fail "config.backends is missing: config.users names backends, and there are none" -}}
{{- end -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $config.admin.bind -}}
{{- fail (printf "config.admin.bind: %q is the pod's loopback, where the kubelet's probes do not reach; write 0.0.0.0 or [::]" $config.admin.bind) -}}
{{- end -}}
{{- if ($given.admin).token -}}
{{- fail "config.admin.token would stand in a ConfigMap: use adminToken.existingSecret" -}}
{{- end -}}
{{- if not (or .Values.adminToken.create .Values.adminToken.existingSecret ($given.admin).token_file) -}}
{{- fail "adminToken: the admin port can be reached by every pod and needs a token: leave adminToken.create true, or set adminToken.existingSecret" -}}
{{- end -}}
{{- if and ($given.admin).token_file (not .Values.adminToken.existingSecret) -}}
{{- range $kind := list "podMonitor" "serviceMonitor" -}}
{{- if (get $.Values.metrics $kind).enabled -}}
{{- fail (printf "metrics.%s: the scraper needs the token of config.admin.token_file from a Secret: set adminToken.existingSecret, or leave token_file out" $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (include "gatepost.tlsByHand" .) (or .Values.tls.existingSecrets .Values.tls.certManager.enabled) -}}
{{- fail "certificates in config.tls and tls.existingSecrets or tls.certManager exclude each other" -}}
{{- end -}}
{{- if and ($given.tls).ticket_key_file .Values.tls.ticketKey.existingSecret -}}
{{- fail "config.tls.ticket_key_file and tls.ticketKey.existingSecret exclude each other" -}}
{{- end -}}
{{- if kindIs "map" $config.state -}}
{{- if not (or (hasPrefix "redis" $config.state.url) (contains "${" $config.state.url)) -}}
{{- range $key := list "password" "password_file" "prefix" -}}
{{- if hasKey $config.state $key -}}{{- fail (printf "config.state.%s is for a Redis, and config.state.url names none" $key) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.redis.existingSecret $given.state -}}
{{- fail "config.state and redis.existingSecret exclude each other" -}}
{{- end -}}
{{- include "gatepost.validate.files" . -}}
{{- include "gatepost.validate.grace" (dict "root" . "config" $config) -}}
{{- if gt (len (compact (list .Values.usersMap.text .Values.usersMap.existingConfigMap .Values.usersMap.existingSecret))) 1 -}}
{{- fail "usersMap: text, existingConfigMap and existingSecret exclude each other" -}}
{{- end -}}
{{- if and .Values.test.enabled .Values.test.existingSecret (not (include "gatepost.testTlsName" .)) -}}
{{- fail "test.existingSecret: no password is sent to a certificate that is not verified; set test.tlsName" -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}{{- $_ := include "gatepost.destinations" . -}}{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) -}}
{{- range $name, $backend := $config.backends -}}
{{- if kindIs "map" $backend -}}
{{- with $backend.discover -}}
{{- $own := dict "imap" "143" "imaps" "993" "pop3" "110" "pop3s" "995" -}}
{{- $port := get $own (regexFind "^(imap|pop3)s?" .) -}}
{{- if or (not (regexMatch ":[0-9]+/?$" .)) (hasSuffix (printf ":%s" $port) (trimSuffix "/" .)) -}}
{{- fail (printf "config.backends.%s.discover: SRV records name the hosts' ports, and networkPolicy lets only %s out to them: name the ports they have in networkPolicy.extraEgress" $name $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := list "serviceAccountName" "automountServiceAccountToken" "enableServiceLinks" "imagePullSecrets" "priorityClassName" "terminationGracePeriodSeconds" "securityContext" "containers" "volumes" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" -}}
{{- range $key, $_ := .Values.extraPodSpec -}}
{{- if has $key $own -}}{{- fail (printf "extraPodSpec.%s: there is a value of its own for this" $key) -}}{{- end -}}
{{- end -}}
{{- $own = list "type" "selector" "ports" "externalTrafficPolicy" "loadBalancerClass" "loadBalancerIP" "loadBalancerSourceRanges" "ipFamilyPolicy" "ipFamilies" -}}
{{- range $key, $_ := .Values.service.extraSpec -}}
{{- if has $key $own -}}{{- fail (printf "service.extraSpec.%s: there is a value of its own for this" $key) -}}{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (eq .Values.kind "DaemonSet") -}}
{{- fail "autoscaling.enabled: a DaemonSet has one pod on every node" -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- $isAsked := or (eq (toString $budget.enabled) "true") (and $budget.enabled (ne (toString $budget.maxUnavailable) "1")) -}}
{{- if and $isAsked (eq .Values.kind "DaemonSet") -}}
{{- fail "podDisruptionBudget: Kubernetes counts none for a DaemonSet; set updateStrategy.rollingUpdate.maxUnavailable for its updates" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}

{{/* A name of a backend is one of those that are there; argument: dict "backends", "name", "key". */}}
{{- define "gatepost.validate.backend" -}}
{{- $names := keys .backends | sortAlpha -}}
{{- $name := default "" .name | toString -}}
{{- if and $name (not (contains "${" $name)) (not (has $name $names)) -}}
{{- fail (printf "%s: no backend is named %q; config.backends has %s" .key $name (join ", " $names)) -}}
{{- end -}}
{{- end -}}

{{- define "gatepost.validate.users" -}}
{{- $backends := .config.backends -}}
{{- $seen := dict -}}
{{- range $user, $to := .config.users -}}
{{- $key := printf "config.users.%s" $user -}}
{{- $is := lower $user -}}
{{- if and (hasKey $seen $is) (not (hasPrefix "/" $user)) -}}
{{- fail (printf "%s is there twice: upper and lower case are the same here" $key) -}}
{{- end -}}
{{- $_ := set $seen $is true -}}
{{- $entry := ternary $to (dict "backend" (toString $to)) (kindIs "map" $to) -}}
{{- include "gatepost.validate.backend" (dict "backends" $backends "name" $entry.backend "key" $key) -}}
{{- $login := regexReplaceAll "\\$\\{[^}]*\\}" (default "" $entry.login) "" -}}
{{- $known := list "{user}" "{local}" "{domain}" -}}
{{- if hasPrefix "/" $user -}}
{{- range regexFindAll "\\(\\?P?<[A-Za-z_][^>]*>" $user -1 -}}
{{- $known = append $known (regexReplaceAll "^.*<(.*)>$" . "{${1}}") -}}
{{- end -}}
{{- end -}}
{{- range $name := regexFindAll "\\{[^{}]*\\}" $login -1 -}}
{{- if not (has $name $known) -}}
{{- fail (printf "%s.login: expected %s, got %s" $key (join ", " $known) $name) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "[{}]" (regexReplaceAll "\\{[^{}]*\\}" $login "") -}}
{{- fail (printf "%s.login: expected a } for each {" $key) -}}
{{- end -}}
{{- with $entry.host -}}
{{- $names := include "gatepost.hostNames" (get $backends $entry.backend) | fromJsonArray -}}
{{- if and $names (not (has . $names)) -}}
{{- fail (printf "%s.host: backend %q has no host %q; it has %s" $key $entry.backend . (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of a backend's hosts as a JSON list; none where they cannot be known. */}}
{{- define "gatepost.hostNames" -}}
{{- $hosts := list -}}
{{- if kindIs "string" . -}}{{- $hosts = list . -}}
{{- else if kindIs "slice" . -}}{{- $hosts = . -}}
{{- else -}}{{- $hosts = default list .hosts -}}{{- end -}}
{{- $names := list -}}
{{- $known := true -}}
{{- range $host := $hosts -}}
{{- $map := ternary $host (dict "imap" $host) (kindIs "map" $host) -}}
{{- $url := default (default "" $map.pop3) $map.imap -}}
{{- $scheme := regexFind "^[a-z0-9]+s?" $url -}}
{{- $own := dict "imap" ":143" "imaps" ":993" "pop3" ":110" "pop3s" ":995" -}}
{{- $authority := regexReplaceAll "^[a-z0-9+]+://([^/]*)/?$" $url "${1}" | trimSuffix (default ":0" (get $own $scheme)) -}}
{{- $name := default $authority $map.name | toString -}}
{{- if contains "${" $name -}}{{- $known = false -}}{{- end -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- toJson (ternary $names list $known) -}}
{{- end -}}

{{- define "gatepost.validate.backends" -}}
{{- range $name, $backend := .config.backends -}}
{{- $seen := list -}}
{{- range $host := include "gatepost.hostNames" $backend | fromJsonArray -}}
{{- if has $host $seen -}}
{{- fail (printf "config.backends.%s: two hosts are named %q" $name $host) -}}
{{- end -}}
{{- $seen = append $seen $host -}}
{{- end -}}
{{- $loginAs := get (ternary $backend dict (kindIs "map" $backend)) "login_as" | default dict -}}
{{- if and $loginAs.master (not $.config.authenticate) -}}
{{- fail (printf "config.backends.%s.login_as.master: without config.authenticate it would let anyone in" $name) -}}
{{- end -}}
{{- $form := "^[^{]*([{]user[}][^{]*|[{]user[}][^{]+[{]master[}][^{]*|[{]master[}][^{]+[{]user[}][^{]*)$" -}}
{{- if and $loginAs.format (not (contains "${" $loginAs.format)) (not (regexMatch $form $loginAs.format)) -}}
{{- fail (printf "config.backends.%s.login_as.format: expected {user}, and perhaps {master} with something between them" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gatepost.validate.sources" -}}
{{- range $i, $source := .config.users_from -}}
{{- range $name, $_ := $source.headers -}}
{{- $isOurs := has (lower $name) (list "host" "connection" "content-length" "transfer-encoding") -}}
{{- if or $isOurs (and (not (contains "${" $name)) (not (regexMatch "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" $name))) -}}
{{- fail (printf "config.users_from[%d].headers: %q cannot be sent as a header" $i $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gatepost.validate.listeners" -}}
{{- $pinned := true -}}
{{- $names := list -}}
{{- $masters := list -}}
{{- $isAsked := false -}}
{{- range $name, $backend := .config.backends -}}{{- if kindIs "map" $backend -}}{{- if $backend.login_as -}}{{- $masters = append $masters $name -}}{{- end -}}{{- end -}}{{- end -}}
{{- range .config.users_from -}}{{- if .http -}}{{- $isAsked = true -}}{{- end -}}{{- end -}}
{{- range $i, $listener := .config.listeners -}}
{{- $map := ternary $listener (dict "bind" $listener) (kindIs "map" $listener) -}}
{{- $own := default "" $map.backend | toString -}}
{{- $leads := ternary (or (has $own $masters) (contains "${" $own)) (or $masters $isAsked) (ne $own "") -}}
{{- if and $map.client_ca (not $leads) -}}
{{- fail (printf "config.listeners[%d].client_ca: a login by certificate could go nowhere; no backend it leads to has login_as" $i) -}}
{{- end -}}
{{- if not $map.backend -}}{{- $pinned = false -}}{{- end -}}
{{- include "gatepost.validate.backend" (dict "backends" $.config.backends "name" $map.backend "key" (printf "config.listeners[%d].backend" $i)) -}}
{{- $name := default $map.bind $map.name | toString -}}
{{- if has $name $names -}}{{- fail (printf "config.listeners[%d].name: two listeners are named %q" $i $name) -}}{{- end -}}
{{- $names = append $names $name -}}
{{- include "gatepost.validate.listener" (dict "map" $map "backends" $.config.backends "key" (printf "config.listeners[%d]" $i)) -}}
{{- end -}}
{{- if not (or $pinned (hasKey .config "users") .config.users_from) -}}
{{- fail "config.users is missing: a map of users to backends, like \"*\": NAME" -}}
{{- end -}}
{{- end -}}

{{/* What one listener shows, and where it leads; argument: dict "map", "backends", "key". */}}
{{- define "gatepost.validate.listener" -}}
{{- $map := .map -}}
{{- if and (hasKey $map "server_names") (hasKey $map "backend") -}}
{{- fail (printf "%s.server_names: every login of this listener goes to its backend; no server is asked for" .key) -}}
{{- end -}}
{{- $seen := list -}}
{{- range $server, $backend := $map.server_names -}}
{{- $at := printf "%s.server_names.%s" $.key $server -}}
{{- include "gatepost.validate.backend" (dict "backends" $.backends "name" $backend "key" $at) -}}
{{- $name := lower $server -}}
{{- $label := "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?" -}}
{{- $isName := regexMatch (printf "^([*][.])?(%s[.])*%s$" $label $label) $name -}}
{{- if or (not $isName) (regexMatch "(^|[.])[0-9]+$" $name) (gt (len $name) 253) -}}
{{- fail (printf "%s: expected a host name, like imap.example.org or *.example.org" $at) -}}
{{- end -}}
{{- if has $name $seen -}}{{- fail (printf "%s is there twice: upper and lower case are the same here" $at) -}}{{- end -}}
{{- $seen = append $seen $name -}}
{{- end -}}
{{- if and (eq (toString $map.cleartext_login) "true") (regexMatch "^(imap|pop3)s:" $map.bind) -}}
{{- fail (printf "%s.cleartext_login: no login is in clear text where TLS is on from the first byte; leave it out" .key) -}}
{{- end -}}
{{- if regexMatch "^\\[|[^\\x00-\\x7f]" (default "" $map.greeting) -}}
{{- fail (printf "%s.greeting: expected ASCII text that does not start with [" .key) -}}
{{- end -}}
{{- if hasKey $map "capabilities" -}}
{{- include "gatepost.validate.capabilities" (dict "of" $map.capabilities "url" $map.bind "key" (printf "%s.capabilities" .key)) -}}
{{- end -}}
{{- end -}}

{{/* Each can be kept before login. What the schema says of AUTH=, COMPRESS= and APOP is not said again. */}}
{{- define "gatepost.validate.capabilities" -}}
{{- $isImap := hasPrefix "imap" .url -}}
{{- $isFirst := regexMatch "^(imap|pop3)s:" .url -}}
{{- $hasBase := false -}}
{{- range $i, $text := .of -}}
{{- $key := printf "%s[%d]" $.key $i -}}
{{- $words := upper $text | splitList " " -}}
{{- if contains "${" $text -}}
{{- $hasBase = true -}}
{{- else if or (regexMatch "[^ -~]" $text) (hasPrefix " " $text) -}}
{{- fail (printf "%s: expected a capability in printable ASCII" $key) -}}
{{- else if and $isImap (regexMatch "[] (){\"\\\\%*]" $text) -}}
{{- fail (printf "%s: expected one atom an element, got %q" $key $text) -}}
{{- else if and $isFirst (has (first $words) (ternary (list "STARTTLS" "LOGINDISABLED") (list "STLS") $isImap)) -}}
{{- fail (printf "%s: %s cannot be promised where TLS is on from the first byte" $key $text) -}}
{{- else if and (not $isImap) (eq (first $words) "APOP") -}}
{{- fail (printf "%s: the gateway cannot do APOP" $key) -}}
{{- else if and (not $isImap) (eq (first $words) "SASL") -}}
{{- range rest $words -}}
{{- if not (has . (list "PLAIN" "LOGIN" "XOAUTH2" "OAUTHBEARER" "EXTERNAL" "SCRAM-SHA-1" "SCRAM-SHA-256")) -}}
{{- fail (printf "%s: the gateway cannot do %s" $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if has (first $words) (list "IMAP4REV1" "IMAP4REV2") -}}{{- $hasBase = true -}}{{- end -}}
{{- end -}}
{{- if and $isImap (not $hasBase) -}}
{{- fail (printf "%s: expected IMAP4rev1 or IMAP4rev2 among them" .key) -}}
{{- end -}}
{{- end -}}

{{/* A network starts where it says: 10.0.0.1/8 is most likely a mistake. */}}
{{- define "gatepost.validate.networks" -}}
{{- $networks := dict "config.limits.trusted" (default list (.config.limits).trusted) -}}
{{- with ((.config.log).transcript).ip -}}{{- $_ := set $networks "config.log.transcript.ip" (list .) -}}{{- end -}}
{{- range $i, $listener := .config.listeners -}}
{{- if kindIs "map" $listener -}}
{{- $_ := set $networks (printf "config.listeners[%d].proxy_protocol" $i) (default list $listener.proxy_protocol) -}}
{{- $_ := set $networks (printf "config.listeners[%d].allow" $i) (default list $listener.allow) -}}
{{- end -}}
{{- end -}}
{{- range $key, $list := $networks -}}
{{- range $network := $list -}}
{{- if regexMatch "^[0-9.]+/[0-9]+$" $network -}}
{{- $address := 0 -}}
{{- range splitList "." (first (splitList "/" $network)) -}}{{- $address = add (mul $address 256) (atoi .) -}}{{- end -}}
{{- $size := 1 -}}
{{- range until (sub 32 (atoi (last (splitList "/" $network))) | int) -}}{{- $size = mul $size 2 -}}{{- end -}}
{{- if mod $address $size -}}
{{- fail (printf "%s: %s does not begin at the first address of the network" $key $network) -}}
{{- end -}}
{{- else if and (contains ":" $network) (not (contains "${" $network)) -}}
{{- $why := include "gatepost.notNetwork" $network -}}
{{- if $why -}}{{- fail (printf "%s: `%s` is no network; %s" $key $network $why) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Every variable that the settings name is in the pod's environment, as far as the values tell. */}}
{{- define "gatepost.validate.variables" -}}
{{- $text := toJson .config | replace "$$" "" -}}
{{- range regexFindAll "\\$\\{[^}\"]*[}\"]?" $text -1 -}}
{{- if not (regexMatch "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" .) -}}
{{- fail (printf "config: %s names no environment variable; a dollar is written $$" (trimSuffix "\"" .)) -}}
{{- end -}}
{{- end -}}
{{- if not .root.Values.extraEnvFrom -}}
{{- $there := list "GATEPOST_CONFIG" "HOSTNAME" "PATH" -}}
{{- if .root.Values.redis.existingSecret -}}{{- $there = append $there "GATEPOST_REDIS_URL" -}}{{- end -}}
{{- range .root.Values.extraEnv -}}{{- $there = append $there .name -}}{{- end -}}
{{- range $found := regexFindAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" $text -1 -}}
{{- $name := $found | trimPrefix "${" | trimSuffix "}" -}}
{{- if not (or (has $name $there) (hasPrefix "KUBERNETES_" $name)) -}}
{{- fail (printf "config names the variable %s, and extraEnv has none of this name" $found) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
