/*
 * Brings the results of `coseg slide` or `coseg predict` into the open image of QuPath 0.5 to 0.7: nuclei as detections,
 * tissue regions and saved regions as annotations, with classes, colours and measurements.
 *
 * Choose the folder of the image's results when it is asked for, or the one that holds those of many. What was imported
 * before is replaced, since the objects of one result have the same ids each time; other objects stay.
 */
import qupath.lib.io.PathIO
import qupath.lib.roi.RoiTools
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

def ids = [] as Set  // of all that is read: what corrections replace goes too where it was imported before them
def objectsOf = { String name ->
    File file = new File(folder, name)
    def objects = file.isFile() ? PathIO.readObjects(file) : []
    if (file.isFile()) {
        println "${name}: ${objects.size()} objects"
        ids.addAll(objects*.getID())
    }
    return objects
}
def found = objectsOf("tissue.geojson") + objectsOf("nuclei.geojson")

// What was corrected takes the place of what was found there: as in `coseg view`, nuclei by their centroids.
File patches = new File(folder, "corrections/patches.json")
def saved = patches.isFile() ? new JsonSlurper().parse(patches) : null
def summaryOfSaved = saved instanceof Map ? saved.summary : null
def same  // what was said then is said now; where files lie is not among it
same = { then, now -> then instanceof Map && now instanceof Map ? then.every { same(it.value, now[it.key]) } : then == now }
if (summaryOfSaved != null && !same(summaryOfSaved, summary)) {
    println "The saved corrections are of other results than these, which were made anew, and are left out."
} else {
    if (saved != null && summaryOfSaved == null) {
        println "The saved corrections do not say of which results they are; where these were made anew since, they do not fit."
    }
    def label = objectsOf("corrections/label.geojson")
    def corrected = label.findAll { it.getPathClass()?.toString() == "Region*" }*.getROI()
    found = found.findAll { object ->
        def roi = object.getROI()
        if (object.isDetection()) {
            return !corrected.any { it.contains(roi.getCentroidX(), roi.getCentroidY()) }
        }
        def rest = corrected.inject(roi) { left, part -> RoiTools.combineROIs(left, part, RoiTools.CombineOp.SUBTRACT) }
        if (rest.getArea() < roi.getArea()) {
            object.setROI(rest)
            object.getMeasurementList().clear()  // they were of the whole
        }
        return rest.getArea() > 0
    }
    found += label
}
found += objectsOf("regions.geojson")
removeObjects(getAllObjects(false).findAll { it.getID() in ids }, true)
addObjects(found)
fireHierarchyUpdate()
println "${found.size()} objects are here. Objects > Annotations > Resolve hierarchy puts nuclei below their regions."
