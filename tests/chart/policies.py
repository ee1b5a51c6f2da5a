"""What must hold of everything that the chart renders."""

import re

import yaml

WORKLOADS = {"Deployment", "StatefulSet", "Pod"}
UNITS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400}
# Without the first, schemas fail that the edge has written for it; without the second, cached tokens are not told, and not priced.
FLAGS = {'{"backend":"guidance"}', "--enable-prompt-tokens-details"}


def seconds(duration):
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+) *([a-z]+)", duration))


def pod_of(manifest):
    return manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]


def labels_of(manifest):
    at = manifest if manifest["kind"] == "Pod" else manifest["spec"]["template"]
    return at["metadata"]["labels"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def check(name, manifests, checks):
    def expect(holds, what):
        checks.expect(holds, f"{name}: {what}")

    by = {}
    for manifest in manifests:
        key = (manifest["kind"], manifest["metadata"]["name"])
        expect(key not in by, f"{key} is there twice")
        by[key] = manifest
        expect(len(key[1]) <= 63, f"{key[1]} is longer than a name may be")
        for label in manifest["metadata"].get("labels", {}).values():
            expect(len(label) <= 63, f"the label {label} is too long")
    workloads = {key: manifest for key, manifest in by.items() if key[0] in WORKLOADS}
    pods = [(key[1], pod_of(manifest), labels_of(manifest)) for key, manifest in workloads.items()]

    expect(not any(kind == "Secret" for kind, _ in by), "the chart makes a Secret")
    for (kind, owner), manifest in workloads.items():
        pod = pod_of(manifest)
        restricted(owner, pod, expect)
        wired(owner, pod, manifest, by, expect)
        if kind != "Pod":
            expect(selects(manifest["spec"]["selector"]["matchLabels"], labels_of(manifest)), f"{owner} does not select its own pods")
            # A new version of the chart alone must not replace pods: engines take minutes to load.
            expect("helm.sh/chart" not in labels_of(manifest), f"{owner}: pods have the chart's version as a label")
        if kind == "StatefulSet":
            expect(len(owner) <= 52, f"{owner}: pods' revision labels would be too long")
            service = by.get(("Service", manifest["spec"]["serviceName"]))
            expect(service is not None and service["spec"].get("clusterIP") == "None", f"{owner} has no headless Service")
        others = [key for key, other in workloads.items() if key[1] != owner and kind != "Pod" and selects(manifest["spec"]["selector"]["matchLabels"], labels_of(other))]
        expect(not others, f"{owner} selects the pods of {others}")
    services(by, pods, expect)
    targets(by, expect)
    rights(by, workloads, expect)
    configurations(by, workloads, expect)


def restricted(owner, pod, expect):
    """Pod Security "restricted", and more."""
    security = pod["securityContext"]
    expect(security["runAsNonRoot"] is True and security["runAsUser"] > 0, f"{owner} may run as root")
    expect(security["seccompProfile"]["type"] == "RuntimeDefault", f"{owner} has no seccomp profile")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        expect(not pod.get(key), f"{owner} has {key}")
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        expect(kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}, f"{owner}: volume of kind {kinds}")
        expect("emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], f"{owner}: {volume['name']} has no bound")
    for container in containers(pod):
        its = container["securityContext"]
        what = f"{owner}, {container['name']}"
        expect(its["allowPrivilegeEscalation"] is False, f"{what} may gain privileges")
        expect(its["readOnlyRootFilesystem"] is True, f"{what} may write to its image")
        expect(its["capabilities"] == {"drop": ["ALL"]}, f"{what} has capabilities")
        expect(not its.get("privileged"), f"{what} is privileged")
        resources = container["resources"]
        expect("memory" in resources["limits"] and {"cpu", "memory"} <= set(resources["requests"]), f"{what} lacks resources")
        for resource, amount in resources["limits"].items():
            if "/" in resource:
                expect(resources["requests"].get(resource) == amount, f"{what}: {resource} is not asked for as it is limited")
        image = container["image"]
        expect("@sha256:" in image or (":" in image.rsplit("/", 1)[-1] and not image.endswith(":latest")), f"{what}: {image} is no fixed image")


def wired(owner, pod, manifest, by, expect):
    """Everything that a pod names is there."""
    claims = {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])}
    volumes = [volume["name"] for volume in pod.get("volumes", [])]
    expect(len(volumes) == len(set(volumes)) and not claims & set(volumes), f"{owner}: volumes have the same name")
    for volume in pod.get("volumes", []):
        if "configMap" in volume:
            expect(("ConfigMap", volume["configMap"]["name"]) in by, f"{owner}: there is no ConfigMap {volume['configMap']['name']}")
        if "secret" in volume:
            expect(bool(volume["secret"]["secretName"]), f"{owner}: a Secret without a name")
    account = pod.get("serviceAccountName")
    expect(account is None or ("ServiceAccount", account) in by, f"{owner}: there is no service account {account}")
    for container in containers(pod):
        mounts = [mount["name"] for mount in container.get("volumeMounts", [])]
        paths = [mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts", [])]
        expect(set(mounts) <= set(volumes) | claims, f"{owner}: mounts {set(mounts) - set(volumes) - claims} that are not there")
        expect(len(paths) == len(set(paths)), f"{owner}: two mounts at one path")
        nested = [(a, b) for a in paths for b in paths if a != b and b.startswith(a + "/")]
        expect(not nested, f"{owner}: one mount inside of another: {nested}")
        names = [variable["name"] for variable in container.get("env", [])]
        expect(len(names) == len(set(names)), f"{owner}: a variable is set twice: {names}")
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("livenessProbe", "readinessProbe"):
            if probe in container:
                [asks] = [container[probe][how] for how in ("httpGet", "tcpSocket") if how in container[probe]]
                expect(asks["port"] in ports, f"{owner}: {probe} asks a port that is not there")
        if "admin" in ports:
            expect(container["livenessProbe"]["httpGet"]["path"] == "/livez", f"{owner}: alive is not /livez")
            expect(container["readinessProbe"]["httpGet"]["path"] == "/readyz", f"{owner}: ready is not /readyz")
            expect(container["readinessProbe"]["failureThreshold"] > 1, f"{owner} is taken out for one answer that is late")


def services(by, pods, expect):
    ports = {(kind, name): manifest["spec"]["ports"] for (kind, name), manifest in by.items() if kind == "Service"}
    for (_, name), listed in ports.items():
        selector = by[("Service", name)]["spec"]["selector"]
        behind = [pod for _, pod, labels in pods if selects(selector, labels)]
        expect(behind, f"the Service {name} selects nothing")
        for port in listed:
            for pod in behind:
                offered = {its["name"] for container in containers(pod) for its in container.get("ports", [])}
                expect(port["targetPort"] in offered, f"the Service {name}: no port {port['targetPort']} behind it")
    for (kind, name), manifest in by.items():
        if kind == "NetworkPolicy":
            selector = manifest["spec"]["podSelector"]["matchLabels"]
            behind = [pod for _, pod, labels in pods if selects(selector, labels)]
            expect(behind or name.endswith("-pool"), f"the NetworkPolicy {name} selects nothing")
            for rule in manifest["spec"].get("ingress", []):
                for port in rule["ports"]:
                    for pod in behind:
                        offered = {its["name"] for container in containers(pod) for its in container.get("ports", [])}
                        expect(port["port"] in offered, f"the NetworkPolicy {name}: no port {port['port']}")
        elif kind == "Ingress":
            for rule in manifest["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    to = path["backend"]["service"]
                    names = {port["name"] for port in ports.get(("Service", to["name"]), [])}
                    expect(to["port"]["name"] in names, f"the Ingress {name} leads nowhere")
        elif kind == "HTTPRoute":
            for rule in manifest["spec"]["rules"]:
                for to in rule["backendRefs"]:
                    numbers = {port["port"] for port in ports.get(("Service", to["name"]), [])}
                    expect(to["port"] in numbers, f"the HTTPRoute {name} leads nowhere")


def targets(by, expect):
    for (kind, name), manifest in by.items():
        if kind in {"HorizontalPodAutoscaler", "ScaledObject"}:
            to = manifest["spec"]["scaleTargetRef"]
            target = by.get((to["kind"], to["name"]))
            expect(target is not None, f"{kind} {name} scales nothing")
            expect(target is None or "replicas" not in target["spec"], f"{name}: both the chart and {kind} say how many")
        if kind == "PodDisruptionBudget":
            selector = manifest["spec"]["selector"]["matchLabels"]
            selected = [key for key, other in by.items() if key[0] in WORKLOADS and selects(selector, labels_of(other))]
            expect(len(selected) == 1, f"the budget {name} is for {selected}")


def rights(by, workloads, expect):
    """Only routers that keep a lease have a token, and rights to leases alone."""
    for (_, owner), manifest in workloads.items():
        token = pod_of(manifest).get("automountServiceAccountToken")
        expect(token is False or ("Role", owner) in by, f"{owner} has a token and no rights")
    for (kind, name), manifest in by.items():
        expect(kind not in {"ClusterRole", "ClusterRoleBinding"}, f"{name} has rights everywhere")
        if kind == "Role":
            for rule in manifest["rules"]:
                expect(rule["apiGroups"] == ["coordination.k8s.io"] and rule["resources"] == ["leases"], f"{name} has a right to {rule}")
                expect(set(rule["verbs"]) <= {"get", "create", "update"}, f"{name} may {rule['verbs']}")
                expect(rule["verbs"] == ["create"] or rule.get("resourceNames"), f"{name} may do so to every lease")


def configurations(by, workloads, expect):
    """The files of the services fit what is around them."""
    routers = [(name, manifest) for (kind, name), manifest in by.items() if kind == "StatefulSet" and name.endswith("-router")]
    [(router, manifest)] = routers
    [models] = [yaml.safe_load(its["data"]["catalogue.yaml"])["models"] for its in by.values() if "catalogue.yaml" in its.get("data", {})]
    known = [f"{router}-{n}.{manifest['spec']['serviceName']}:7001" for n in range(manifest["spec"]["replicas"])]
    for (_, owner), workload in workloads.items():
        pod = pod_of(workload)
        for container in containers(pod):
            files = [word for word in container.get("args", []) if str(word).startswith("/etc/cloudach/config/")]
            if container["name"] not in {"edge", "router", "sidecar"}:
                continue
            expect(len(files) == 1, f"{owner} is given {files}")
            [config_map] = [volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "config"]
            data = by[("ConfigMap", config_map)]["data"]
            replicas = workload["spec"].get("replicas", 1)
            wanted = {files[0].rsplit("/", 1)[1].replace("$(POD_NAME)", f"{owner}-{n}") for n in range(replicas)}
            expect(wanted <= set(data), f"{owner}: {wanted - set(data)} is not in its ConfigMap")
            ports = {port["containerPort"] for port in container["ports"]}
            ids = []
            for text in data.values():
                config = yaml.safe_load(text)
                if "listen" not in config:
                    continue
                listens = {int(config[key].rsplit(":", 1)[1]) for key in ("listen", "admin")}
                expect(listens == ports, f"{owner} listens on {listens} and offers {ports}")
                expect(container["name"] == "router" or config["routers"] == known, f"{owner} knows {config.get('routers')}, there are {known}")
                stops = seconds(config["drain"]["settle"]) + seconds(config["drain"]["grace"])
                if container["name"] == "sidecar":
                    expect("model" not in config or config["model"] in models, f"{owner}: {config.get('model')} is not in the catalogue")
                    stops += seconds(config["engine"].get("stop_grace", "10s"))
                    wide = config["engine"]["url"]
                    told = config["engine"].get("command", [])
                    expect(config["engine"]["dialect"] != "vllm" or not told or FLAGS <= set(told), f"{owner}: vLLM lacks {FLAGS - set(told)}")
                    expect(wide.startswith(("unix:/run/cloudach/", "http://127.0.0.1:")), f"{owner}: the engine listens at {wide}")
                sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                expect(pod["terminationGracePeriodSeconds"] >= stops + sleep + 5, f"{owner} is killed before it has stopped")
                if container["name"] == "edge":
                    longest = seconds(config.get("limits", {}).get("request_time", "30m"))
                    expect(seconds(config["drain"]["grace"]) >= longest, f"{owner}: streams may last {longest} s, and are cut when it stops")
                    spool = config.get("usage", {}).get("spool")
                    expect(not spool or spool in {mount["mountPath"] for mount in container["volumeMounts"]}, f"{owner}: nowhere to spool")
                    variables = {variable["name"] for variable in container.get("env", [])}
                    used = set(re.findall(r"env: ([A-Z_]+)", text))
                    expect(used <= variables, f"{owner}: {used - variables} is not set")
                ids += [gpu["id"] for gpu in config.get("managed", {}).get("gpus", [])]
            expect(len(ids) == len(set(ids)), f"{owner}: two GPUs have one name")
