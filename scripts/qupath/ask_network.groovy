/*
 * Sends the selected annotation of QuPath 0.5 to 0.7 to the service behind `coseg view`, and brings the answer back.
 *
 * An annotation without a class, or of the class Region*, is an area to segment. One of a tissue or nuclei class of the
 * network is a correction: the network answers for the area around it, told what was drawn, and the annotation stays.
 *
 * Start `coseg view RESULTS --no-browser`, and put the address that it prints below. The image that is open here must be
 * the one of the results.
 */
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.charset.StandardCharsets
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO

String address = args ? args[0] : "http://127.0.0.1:PORT/TOKEN/"
int result = args && args.size() > 1 ? args[1] as int : 0  // its number, where several results are shown
double margin = 0.5  // around a correction, in sizes of the annotation

def selected = getSelectedObject()
if (selected == null || !selected.isAnnotation() || !selected.getROI()?.isArea()) {
    println "Select an annotation with an area first."
    return
}

def client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()  // else it asks for HTTP/2, and the server warns
def ask = { String path, Object content ->
    def builder = HttpRequest.newBuilder(URI.create(address + path))
    if (content != null) {
        builder.header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(content as String))
    }
    def answer = client.send(builder.build(), HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8))
    if (answer.statusCode() != 200) {
        throw new IOException("The service says: " + answer.body())
    }
    return answer.body()
}

def about = new JsonSlurper().parseText(ask("${result}/about.json", null))
def server = getCurrentServer()
if (about.size != [server.getWidth(), server.getHeight()]) {
    println "The service shows an image of ${about.size} px, and this one has ${server.getWidth()} x ${server.getHeight()}."
    return
}

def name = selected.getPathClass()?.toString() ?: ""
def known = (about.tissue_classes + about.nuclei_classes)*.name as Set
boolean isCorrection = name in known
def roi = selected.getROI()
double grown = isCorrection ? margin : 0
def box = [
    Math.floor(roi.getBoundsX() - grown * roi.getBoundsWidth()),
    Math.floor(roi.getBoundsY() - grown * roi.getBoundsHeight()),
    Math.ceil(roi.getBoundsWidth() * (1 + 2 * grown)),
    Math.ceil(roi.getBoundsHeight() * (1 + 2 * grown)),
].collect { it as long }

def request = [box: box]
if (isCorrection) {
    def feature = new JsonSlurper().parseText(GsonTools.getInstance().toJson(selected))
    request.correction = [type: "FeatureCollection", features: [feature]]
}
def text = ask("${result}/segment", JsonOutput.toJson(request))
def found = PathIO.readObjectsFromGeoJSON(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)))
if (!isCorrection) {  // only what lies in the annotation, which need not be a rectangle
    found = found.findAll { !it.isDetection() || roi.contains(it.getROI().getCentroidX(), it.getROI().getCentroidY()) }
}

double x0 = box[0], y0 = box[1], x1 = box[0] + box[2], y1 = box[1] + box[3]
def inside = { double x, double y -> isCorrection ? x >= x0 && y >= y0 && x < x1 && y < y1 : roi.contains(x, y) }
def old = getDetectionObjects().findAll { inside(it.getROI().getCentroidX(), it.getROI().getCentroidY()) }
removeObjects(old, true)
addObjects(found)
fireHierarchyUpdate()
println "${old.size()} nuclei were replaced by ${found.count { it.isDetection() }}, and " +
    "${found.count { it.isAnnotation() }} tissue regions were added."
