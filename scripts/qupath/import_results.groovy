/*
 * Brings the results of `coseg slide` or `coseg predict` into the open image of QuPath 0.5 to 0.7: nuclei as detections,
 * tissue regions and saved regions as annotations, with classes, colours and measurements.
 *
 * Choose the folder of the image's results when it is asked for, or the one that holds those of many. What was imported
 * before is replaced, since the objects of one result have the same ids each time; other objects stay.
 */
import qupath.lib.io.PathIO
import qupath.fx.dialogs.FileChoosers
import groovy.json.JsonSlurper

File folder = args ? new File(args[0]) : FileChoosers.promptForDirectory("Folder of results", null)
if (folder == null) {
    return
}
def server = getCurrentServer()
if (!new File(folder, "summary.json").isFile() && !server.getURIs().isEmpty()) {  // that of many images: each has its own
    folder = new File(folder, new File(server.getURIs().iterator().next().getPath()).getName())
}
File summaryFile = new File(folder, "summary.json")
if (!summaryFile.isFile()) {
    println "Expected a folder of results with summary.json in it, got ${folder}."
    return
}
def summary = new JsonSlurper().parse(summaryFile)
if (summary.width_px != server.getWidth() || summary.height_px != server.getHeight()) {
    println "The results are of an image of ${summary.width_px} x ${summary.height_px} px, and this one has " +
        "${server.getWidth()} x ${server.getHeight()}: it is another image, or the slide was segmented with --origin canvas."
    return
}

def found = []
for (name in ["tissue.geojson", "nuclei.geojson", "regions.geojson", "corrections/label.geojson"]) {
    File file = new File(folder, name)
    if (file.isFile()) {
        def objects = PathIO.readObjects(file)
        println "${name}: ${objects.size()} objects"
        found.addAll(objects)
    }
}
def ids = found.collect { it.getID() } as Set
removeObjects(getAllObjects(false).findAll { it.getID() in ids }, true)
addObjects(found)
fireHierarchyUpdate()
println "${found.size()} objects are here. Objects > Annotations > Resolve hierarchy puts nuclei below their regions."
